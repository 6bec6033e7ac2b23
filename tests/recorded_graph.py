"""What stands in for a CUDA graph where there is no GPU.

Capturing keeps every operation with the tensors that it was given; launching does the same operations on the same
memory again, and nothing of Python in between, as a GPU does.
"""

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

FORBIDDEN = ("_local_scalar_dense", "nonzero", "masked_select", "is_nonzero", "aten.rand", "normal_", "uniform_")


class Recorded(TorchDispatchMode):
    """Keeps what is done, to do it again; refuses what a graph on a GPU could not hold."""

    def __init__(self):
        super().__init__()
        self.done = []

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        name = str(function)
        masked = name.startswith("aten.index.") and any(
            index is not None and index.dtype == torch.bool for index in args[1]
        )
        if masked or any(part in name for part in FORBIDDEN):
            raise AssertionError(f"{name} cannot be captured")
        found = function(*args, **(kwargs or {}))
        if not function.is_view:
            self.done.append((function, args, kwargs or {}, found))
        return found

    def launch(self):
        """Does it all again, each result where the first one was put."""
        with torch.no_grad():
            for function, args, kwargs, first in self.done:
                found = function(*args, **kwargs)
                given = {id(leaf) for leaf in tree_leaves((args, kwargs))}
                for old, new in zip(tree_leaves(first), tree_leaves(found), strict=True):
                    if isinstance(old, torch.Tensor) and id(old) not in given:
                        old.copy_(new)


def recorded(work, device):
    """What stands in for `torch_graph`: tries the work and captures it, which does it twice; a GPU would do it once."""
    work()
    recorder = Recorded()
    with recorder:
        work()
    recorded.captured += 1
    return recorder.launch
