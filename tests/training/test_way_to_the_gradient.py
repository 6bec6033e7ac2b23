"""The way from the command to the gradient: short enough to follow in one sitting."""

import sys
from pathlib import Path

import robometa
from robometa.commands.main import main
from robometa.rl import meta_gradient

PACKAGE = Path(robometa.__file__).parent
COMMAND = PACKAGE / "commands" / "train.py"
MAX_CALLS, MAX_FILES = 6, 5


def frames():
    """Code of the package's functions that are running, outermost first; not of functions within functions."""
    frame, running = sys._getframe(1), []
    while frame is not None:
        code = frame.f_code
        if Path(code.co_filename).is_relative_to(PACKAGE) and "<locals>" not in code.co_qualname:
            running.append(code)
        frame = frame.f_back
    return running[::-1]


def test_six_calls_in_five_files_lead_from_the_command_to_the_outer_gradient(tmp_path, monkeypatch):
    ways, torchs_grad = [], meta_gradient.grad

    def grad(function):
        ways.append(frames())
        return torchs_grad(function)

    monkeypatch.setattr(meta_gradient, "grad", grad)
    monkeypatch.setattr(meta_gradient, "of_each_task", lambda function, *rows: [*map(function, *rows)])
    sizes = ["--iterations", "1", "--tasks", "2", "--worlds", "2", "--folder"]
    assert main(["train", "point-robot", "maml-trpo", *sizes, str(tmp_path / "run")]) == 0
    way = next(way for way in ways if way[-1].co_name == "outer_gradient")
    below = way[[Path(code.co_filename) for code in way].index(COMMAND) + 1 :]
    names = [code.co_qualname for code in below]
    assert len(names) + 1 <= MAX_CALLS, names  # and the call of `grad` itself
    assert len({code.co_filename for code in below}) <= MAX_FILES, names
