"""What an author is told: nothing of the shipped learners, and of each broken one a sentence about what is broken."""

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import torch
from conftest import SMALL_OPTIONS

import robometa
from robometa import registry
from robometa.commands.main import main
from robometa.conformance.check_learner import check_learner
from robometa.errors import UserError
from robometa.noise import Noise


@dataclass(frozen=True)
class Options:
    """Of the learners below."""

    iterations: int = 2
    tasks: int = 3
    worlds: int = 2
    shots: int = 1


class Belief(NamedTuple):
    """What a task seems to want."""

    shift: torch.Tensor


class Sound:
    """A learner that breaks nothing: each world shifts its actions by what it was paid; updates move a weight."""

    configuration = Options
    pools_worlds = False

    def __init__(self, config, spaces, seed, device="cpu"):
        self.config, self.device, self.size = config, torch.device(device), spaces.action
        self.weight = Noise(seed, ("weight",), 1, 1).normal(spaces.action)[0, 0]
        self.momentum = torch.zeros(spaces.action)

    def begin(self, tasks, worlds, noise):
        """A random shift."""
        return Belief(noise.normal(self.size))

    def act(self, adaptation, step, noise):
        """The weight, shifted."""
        return self.weight + adaptation.shift + step.obs.mean(dim=-1, keepdim=True) + noise, adaptation

    def adapt(self, adaptation, rollout, noise):
        """Shifted by what was paid."""
        return Belief(adaptation.shift + rollout.reward.mean(dim=-1, keepdim=True) + noise.normal(self.size))

    def update(self, trial):
        """The weight moves."""
        self.momentum = 0.9 * self.momentum + trial.rollouts[-1].reward.mean() + trial.noise.normal(self.size)[0, 0]
        self.weight = self.weight + 0.1 * self.momentum
        return {"momentum": float(self.momentum.mean())}

    def state_dict(self):
        """Weight and momentum."""
        return {"weight": self.weight, "training/momentum": self.momentum}

    def load_state_dict(self, state):
        """Takes them back."""
        self.weight = state["weight"].clone()
        self.momentum = state.get("training/momentum", self.momentum).clone()


@pytest.mark.parametrize(
    ("name", "options"), [(name, {}) for name in registry.LEARNERS] + [("rl2", {"memory": "lstm"})]
)
@pytest.mark.sample(12)
def test_the_shipped_learners_break_nothing(name, options):
    assert check_learner(name, options=SMALL_OPTIONS[name] | options) == []


def test_a_sound_learner_breaks_nothing_on_any_suite(tiny_suite):
    assert robometa.check_learner(Sound) == []
    assert check_learner(Sound, tiny_suite) == []
    assert check_learner(Sound, "half-cheetah-velocity", {"shots": 0, "tasks": 2}) == []


@dataclass
class Thawed(Options.__bases__[0]):
    """Options that can change."""

    iterations: int = 2
    tasks: int = 3
    worlds: int = 2
    shots: int = 1


@dataclass(frozen=True)
class Fractional(Options):
    """Half a task."""

    tasks: int = 2.5


@dataclass(frozen=True)
class Needy(Options):
    """An option that must be given."""

    scale: float = ...

    def __post_init__(self):
        if self.scale is ...:
            raise ValueError("scale is needed")


def attributes(**values):
    """A way to break a learner: give it these attributes."""
    return values


def init(change):
    """A constructor that does something behind the sound one."""

    def __init__(self, config, spaces, seed, device="cpu"):
        Sound.__init__(self, config, spaces, seed, device)
        change(self)

    return attributes(__init__=__init__)


def act(change):
    """An `act` that does something with what it is given before the sound one."""

    def act(self, adaptation, step, noise):
        change(self, adaptation, step, noise)
        return Sound.act(self, adaptation, step, noise)

    return attributes(act=act)


def acted(change):
    """An `act` that changes the action of the sound one."""

    def act(self, adaptation, step, noise):
        action, adaptation = Sound.act(self, adaptation, step, noise)
        return change(self, action), adaptation

    return attributes(act=act)


def counted(self, action):
    self.count = getattr(self, "count", 0) + 1
    return action + self.count


def raised(*_):
    raise IndexError("no such thing")


def adapted(change):
    """An `adapt` that changes the shift of the sound one."""

    def adapt(self, adaptation, rollout, noise):
        return Belief(change(self, Sound.adapt(self, adaptation, rollout, noise).shift, adaptation, rollout))

    return attributes(adapt=adapt)


def updated(change):
    """An `update` that does something before the sound one."""

    def update(self, trial):
        change(self, trial)
        return Sound.update(self, trial)

    return attributes(update=update)


def logged(value):
    return attributes(update=lambda self, trial: Sound.update(self, trial) and value)


def drifted(self, trial):
    self.updates = getattr(self, "updates", 0) + 1
    self.momentum = self.momentum + self.updates


def moved(self, trial):
    self.momentum += 1.0


def only_weight(self, state):
    self.weight = state["weight"].clone()


def shared(self, state):
    self.weight = state["weight"].clone()
    self.momentum = state.get("training/momentum", self.momentum)


def demanding(self, state):
    self.weight, self.momentum = state["weight"].clone(), state["training/momentum"].clone()


BROKEN = {
    "an act lacks": (attributes(act=None), "lacks act: a learner has begin, act, adapt"),
    "no options": (attributes(configuration=None), "configuration of Broken must be a frozen dataclass, not None"),
    "options lack": (attributes(configuration=Belief), "must be a frozen dataclass"),
    "needy options": (attributes(configuration=Needy), "must have a default for every option: scale is needed"),
    "thawed options": (attributes(configuration=Thawed), "configuration must be frozen: write @dataclass(frozen=True)"),
    "half a task": (attributes(configuration=Fractional), "whole number of at least 1 as tasks, not 2.5"),
    "pooling unsaid": (attributes(pools_worlds=None), "pools_worlds must be True or False, not None"),
    "constructor": (attributes(__init__=lambda self, config: None), "made from (config, spaces, seed, device)"),
    "constructor raises": (init(raised), "__init__(config, spaces, seed, device) raises IndexError in line"),
    "config lost": (init(lambda self: setattr(self, "config", None)), "must keep the options"),
    "device lost": (init(lambda self: setattr(self, "device", "cpu")), "must keep `device` as a torch.device"),
    "global weights": (init(lambda self: self.weight.normal_()), "__init__ draws from a global random generator"),
    "a state of no table": (
        attributes(state_dict=lambda self: [self.weight]),
        "state_dict must return tensors by name, not list",
    ),
    "a state of numbers": (attributes(state_dict=lambda self: {"weight": 1.0}), "under 'weight' it is float"),
    "act returns no pair": (attributes(act=lambda self, a, step, noise: noise), "act must return a pair"),
    "wrong shape": (acted(lambda self, action: action[..., :1]), "[task, world, action] = [3, 2, 2], not [3, 2, 1]"),
    "wrong kind": (acted(lambda self, action: action.numpy()), "[3, 2, 2], not ndarray"),
    "wrong precision": (acted(lambda self, action: action.double()), "in torch.float32, not torch.float64"),
    "not finite": (acted(lambda self, action: action / 0.0), "act must return finite actions"),
    "act raises": (act(raised), "act raises IndexError in line"),
    "begin raises": (attributes(begin=raised), "begin raises IndexError in line"),
    "adapt raises": (attributes(adapt=raised), "adapt raises IndexError in line"),
    "update raises": (attributes(update=raised), "update raises IndexError in line"),
    "squeezed": (
        acted(lambda self, action: action.squeeze(1)),
        "act must with one task and one world return an action of shape [task, world, action] = [1, 1, 2], not [1, 2]",
    ),
    "a spread of one world": (
        act(lambda self, adaptation, step, noise: raised() if len(noise) == 1 else None),
        "act raises with one task and one world IndexError",
    ),
    "nothing logged": (logged(None), "update must return numbers by name, not NoneType"),
    "a tensor logged": (
        logged({"loss": torch.tensor(1.0)}),
        "update must return finite floats, and 'loss' is tensor(1.)",
    ),
    "no number logged": (logged({"loss": float("nan")}), "and 'loss' is nan"),
    "adaptation in place": (
        act(lambda self, adaptation, step, noise: adaptation.shift.add_(1.0)),
        "act changes the adaptation that it is given",
    ),
    "step in place": (
        act(lambda self, adaptation, step, noise: step.obs.clamp_(-0.01, 0.01)),
        "act changes the step that",
    ),
    "noise in place": (act(lambda self, adaptation, step, noise: noise.add_(1.0)), "act changes the noise that"),
    "weight in act": (
        act(lambda self, adaptation, step, noise: self.weight.add_(1.0)),
        "act changes the learner's state: only update may",
    ),
    "hidden count": (acted(counted), "act gives something else the second time"),
    "global noise in act": (
        acted(lambda self, action: action + torch.randn(())),
        "act draws from a global random generator",
    ),
    "numpy's noise in act": (
        acted(lambda self, action: action + float(np.random.rand())),  # noqa: NPY002
        "act draws from a global random generator",
    ),
    "global noise in begin": (
        attributes(begin=lambda self, tasks, worlds, noise: Belief(torch.randn(tasks, worlds, self.size))),
        "begin draws from a global random generator",
    ),
    "belief in place": (
        adapted(lambda self, shift, before, rollout: before.shift.add_(shift)),
        "adapt changes the adaptation that it is given",
    ),
    "rollout in place": (
        adapted(lambda self, shift, before, rollout: shift + rollout.reward.neg_().mean()),
        "adapt changes the rollout that it is given",
    ),
    "weight in adapt": (
        adapted(lambda self, shift, before, rollout: shift + self.momentum.add_(1.0)),
        "adapt changes the learner's state: only update may",
    ),
    "global noise in adapt": (
        adapted(lambda self, shift, before, rollout: shift + torch.randn(())),
        "adapt draws from a global random generator",
    ),
    "global noise in update": (
        updated(lambda self, trial: self.momentum.add_(torch.randn(()))),
        "update draws from a global random generator",
    ),
    "trial in place": (updated(lambda self, trial: trial.rollouts[0].reward.mul_(2.0)), "update changes the trial"),
    "tasks together": (
        adapted(lambda self, shift, before, rollout: shift - shift.mean(dim=0, keepdim=True)),
        "a task's actions depend on the tasks that stand beside it",
    ),
    "worlds together": (
        adapted(lambda self, shift, before, rollout: shift + rollout.reward.mean(dim=(1, 2))[:, None, None]),
        "a world's actions depend on the worlds beside it, and pools_worlds is False",
    ),
    "weight not kept": (
        attributes(
            state_dict=lambda self: {"training/momentum": self.momentum}, load_state_dict=lambda self, state: None
        ),
        "state_dict must have all that acting needs under names that do not begin with training/",
    ),
    "weight kept for training": (
        attributes(
            state_dict=lambda self: {"training/weight": self.weight, "training/momentum": self.momentum},
            load_state_dict=lambda self, state: setattr(
                self, "weight", state.get("training/weight", self.weight).clone()
            ),
        ),
        "state_dict must have all that acting needs",
    ),
    "policy not taken": (
        attributes(load_state_dict=demanding),
        "load_state_dict of the policy's part of a state raises KeyError",
    ),
    "momentum not taken": (attributes(load_state_dict=only_weight), "load_state_dict must restore all of a state"),
    "momentum not kept": (
        attributes(state_dict=lambda self: {"weight": self.weight}),
        "state_dict must have all that training resumes from",
    ),
    "updates not counted": (updated(drifted), "state_dict must have all that training resumes from"),
    "tensors shared": (
        attributes(load_state_dict=shared) | updated(moved),
        "load_state_dict must copy the tensors that it is given",
    ),
}


@pytest.mark.parametrize("fault", BROKEN)
def test_a_broken_learner_is_told_what_it_breaks_in_a_sentence(fault):
    changes, sentence = BROKEN[fault]
    before = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    found = check_learner(type("Broken", (Sound,), changes))
    assert len(found) == 1, found
    assert sentence in found[0]
    assert found[0].endswith(".")
    assert "\n" not in found[0]
    assert torch.equal(torch.get_rng_state(), before[0])  # nothing is left behind
    assert (np.random.get_state()[1] == before[1]).all()  # noqa: NPY002


def test_faults_that_do_not_stand_on_one_another_are_told_together():
    broken = type(
        "Broken", (Sound,), act(lambda self, adaptation, step, noise: step.obs.zero_()) | BROKEN["belief in place"][0]
    )
    assert [sentence.split()[0] for sentence in check_learner(broken)] == ["act", "adapt"]


def test_every_world_of_a_task_may_learn_together_if_it_is_said():
    assert check_learner(type("Pooling", (Sound,), BROKEN["worlds together"][0] | {"pools_worlds": True})) == []


def test_what_does_not_exist_is_the_caller_s_mistake():
    with pytest.raises(UserError, match="unknown learner"):
        check_learner("perl")
    with pytest.raises(UserError, match="unknown suite"):
        check_learner(Sound, "point-robt")
    with pytest.raises(UserError, match="scale"):
        check_learner(Sound, options={"scale": 3})
    assert "Thing lacks begin" in check_learner(type("Thing", (), {}))[0]
    assert check_learner(3) == ["3 is not a class once its file has been run."]


FILE = "from robometa.learners.random import Config, Random\n\n\nclass Mine(Random):\n    configuration = Config\n"


def test_the_command_line_tells_it_with_an_exit_code(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("mine.py").write_text(FILE, encoding="utf-8")
    assert main(["learners", "./mine.py:Mine", "--check"]) == 0
    assert capsys.readouterr().out == "Mine keeps the learners' protocol\n"
    Path("mine.py").write_text(FILE + "    def update(self, trial):\n        return 3\n", encoding="utf-8")
    assert main(["learners", "./mine.py:Mine", "--check"]) == 1
    assert capsys.readouterr().out == "update must return numbers by name, not int.\n"
    Path("mine.py").write_text(FILE + "    def update(self, trial):\n        return {}[0]\n", encoding="utf-8")
    assert main(["learners", "./mine.py:Mine", "--check"]) == 1
    assert capsys.readouterr().out == "update raises KeyError in line 7: 0.\n"
