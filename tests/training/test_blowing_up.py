"""A policy that can choose to blow up learns not to, whether honest rewards are negative or positive."""

import pytest

from robometa import suites
from robometa.noise import Noise
from robometa.registry.options import read_config
from robometa.sim.locomotion.engine import CpuEngine
from robometa.training.guarded_update import guarded_update
from robometa.trials import make
from robometa.trials.trial import run_trial

SUITE = """\
about     = "A point that blows up if it wants to."
robot     = "point"
objective = "direction"
horizon   = 5
finite    = true

[coefficients]
alive_bonus = {bonus}

[train]
direction = {{ values = [-1, 1] }}

[test]
direction = {{ values = [-1, 1] }}
"""
OPTIONS = {
    "maml-trpo": {"tasks": 2, "worlds": 24, "hidden": (8,), "shots": 1, "kl_bound": 0.1, "iterations": 10},
    "rl2": {
        "tasks": 2,
        "worlds": 16,
        "memory_size": 8,
        "hidden": (8,),
        "minibatches": 4,
        "learning_rate": 3e-3,
        "iterations": 10,
    },
    "pearl": {
        "tasks": 2,
        "worlds": 8,
        "hidden": (16, 16),
        "encoder_hidden": (8,),
        "context": 16,
        "meta_batch": 2,
        "batch": 32,
        "gradient_steps": 20,
        "learning_rate": 3e-3,
        "final_learning_rate": 3e-3,
        "latent": 2,
        "iterations": 10,
    },
}


@pytest.fixture
def chooses(monkeypatch):
    """Blows up each world whose second action is above 0.5: at once, or one step later."""

    def patch(later):
        step, doomed = CpuEngine.step, [None]

        def spoilt(self, action):
            chosen = action.reshape(-1, self.spaces.action)[:, 1] > 0.5
            now = chosen if not later else doomed[0]
            if now is not None:
                self._before[now.numpy(), 2] = 1e12
            outcome = step(self, action)
            doomed[0] = chosen & ~(outcome.terminated | outcome.truncated).flatten()
            return outcome

        monkeypatch.setattr(CpuEngine, "step", spoilt)

    return patch


def shares(suite, name):
    """Share of steps of the first episodes that diverge, in each iteration of a training."""
    learner = make.build(name, read_config(name, OPTIONS[name]), suite, seed=0)
    config = learner.config
    engine, found = make.engine_for(learner, suite, config.tasks, config.worlds), []
    for iteration in range(config.iterations):
        noise = Noise(0, ("train", iteration), config.tasks, config.worlds)
        trial = run_trial(engine, learner, suite.train, range(config.tasks), config.shots, noise)
        counted = [rollout.first_episode() for rollout in trial.rollouts]
        ended = sum(int(rollout.episode_diverged().sum()) for rollout in trial.rollouts)
        found.append(ended / sum(int(steps.sum()) for steps in counted))
        assert guarded_update(learner, trial)[1] == ""
    engine.close()
    return found


CASES = [(name, False, -2.0) for name in OPTIONS]
CASES += [("rl2", False, 2.0), ("rl2", True, -2.0)]
OTHERS = [(name, *case) for name in OPTIONS if name != "rl2" for case in ((False, 2.0), (True, -2.0))]


@pytest.mark.parametrize(
    ("name", "later", "bonus"), [*CASES, *(pytest.param(*case, marks=pytest.mark.slow) for case in OTHERS)]
)
def test_a_policy_learns_not_to_blow_up(tmp_path, chooses, name, later, bonus):
    chooses(later)
    path = tmp_path / "chooses.toml"
    path.write_text(SUITE.format(bonus=bonus), encoding="utf-8")
    found = shares(suites.load(path), name)
    assert sum(found[-2:]) < 0.6 * sum(found[:2])
