"""Experts, and our learners in upstream's own evaluation, beside what our evaluation says of the same."""

import dataclasses
import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import copied, same_tensors
from test_metaworld_evaluation import Watched, built, flat

from robometa import suites
from robometa.commands.main import main
from robometa.compute.hardware import Hardware
from robometa.errors import UserError
from robometa.evaluation.evaluate import measure
from robometa.evaluation.protocols import Protocol
from robometa.noise import Noise
from robometa.trials.trial import collect, trial_loop

if importlib.util.find_spec("metaworld") is None:  # which takes a second to load
    pytest.skip("the extra metaworld is not installed", allow_module_level=True)

from robometa.evaluation.metaworld_adapter import MetaWorldAdapter
from robometa.evaluation.scripted_experts import Scripted
from robometa.sim.metaworld.engine import ManipulationEngine
from robometa.suites import metaworld as benchmarks
from robometa.suites.metaworld import MetaWorld

pytestmark = [
    pytest.mark.filterwarnings("ignore:Constant.s. may be too high"),  # of upstream's experts
    pytest.mark.filterwarnings("ignore:.*Box"),  # of upstream's spaces
    pytest.mark.usefixtures("upstream_models_compiled_once"),
]
HORIZON = 8


@pytest.fixture(scope="module")
def reach():
    """ML1's reach-v3 with episodes of a few steps."""
    return dataclasses.replace(suites.load("ml1/reach-v3"), horizon=HORIZON)


def vector(memory, steps=HORIZON, count=2, goals=2, **options):
    """Upstream's own environments of held-out goals of reach-v3."""
    import metaworld

    return metaworld.make_ml_envs_test(
        "reach-v3",
        seed=42,
        meta_batch_size=count,
        total_tasks_per_cls=goals,
        max_episode_steps=steps,
        recurrent_info_in_obs=memory,
        **options,
    )


def upstreams_evaluation(*arguments, **options):
    """Upstream's own evaluation."""
    from metaworld.evaluation import metalearning_evaluation

    return metalearning_evaluation(*arguments, **options)


def ours(learner, suite, episodes):
    """The same trial as upstream's in our engine: what was shown in `episodes` of adaptation, and in one scored."""
    pooled = learner.pools_worlds
    engine = ManipulationEngine(suite, 2, episodes if pooled else 1, threads=1)
    engine.assign(suite.test[:2])
    for shot in trial_loop(learner, Noise(0, (), 2, engine.worlds), 1 if pooled else episodes):
        shot.complete(*collect(engine, learner, shot.adaptation, shot.noise, previous=shot.previous))
    engine.close()


@pytest.mark.parametrize(("name", "memory"), [("rl2", True), ("pearl", False), ("maml-trpo", False), ("varibad", True)])
@pytest.mark.sample(2)
def test_upstream_shows_and_teaches_a_learner_what_our_evaluation_does(reach, name, memory):
    here, there = Watched(built(name, reach)), Watched(built(name, reach))
    before = copied(there.learner.state_dict())
    ours(here, reach, episodes=2)
    environments = vector(memory)
    adapter = MetaWorldAdapter(there, environments.num_envs)
    success, _, _ = upstreams_evaluation(
        adapter, environments, num_evals=1, adaptation_episodes=2, evaluation_episodes=3
    )
    environments.close()
    assert success == 0  # nobody reaches anything in so few steps
    assert same_tensors(there.learner.state_dict(), before)
    assert len(there.taught) == len(here.taught) == (1 if here.pools_worlds else 2)
    for mine, theirs in zip(here.taught, there.taught, strict=True):
        for part in ("obs", "action", "reward", "terminated", "truncated"):
            torch.testing.assert_close(vars(theirs)[part], vars(mine)[part], rtol=1e-4, atol=1e-5)
        inner = theirs.next_obs[:, :, :-1], mine.next_obs[:, :, :-1]
        torch.testing.assert_close(*inner, rtol=1e-4, atol=1e-5)
    adapting = HORIZON if here.pools_worlds else 2 * HORIZON  # steps in which ours adapted
    scored = there.steps[2 * HORIZON :]
    assert len(scored) == 2 * HORIZON  # two environments, three episodes of the task: two each
    first, second = flat(there.starts[2 * HORIZON]), flat(there.starts[3 * HORIZON])
    assert first
    assert all(map(torch.equal, first, second))
    for theirs, mine in zip(first, flat(here.starts[adapting]), strict=True):
        torch.testing.assert_close(theirs, mine[:, :1] if memory else mine, rtol=1e-3, atol=1e-4)
    for episode in (scored[:HORIZON], scored[HORIZON:]):  # each from the same adaptation
        for theirs, mine in zip(episode, here.steps[adapting:], strict=True):
            seen = ("obs", "last_action", "last_reward", "last_done") if memory else ("obs",)
            for part in seen:
                expected = vars(mine)[part][:, :1]
                torch.testing.assert_close(vars(theirs)[part], expected, rtol=1e-4, atol=1e-4, msg=part)


def test_a_memory_must_be_told_what_is_paid(reach):
    environments = vector(False)
    adapter = MetaWorldAdapter(built("rl2", reach), environments.num_envs)
    with pytest.raises(UserError, match="recurrent_info_in_obs=True"):
        upstreams_evaluation(adapter, environments, num_evals=1, adaptation_episodes=1, evaluation_episodes=1)
    environments.close()


def test_rewards_on_another_scale_are_noticed(reach):
    environments = vector(True, normalize_reward_in_recurrent_info=False)
    adapter = MetaWorldAdapter(built("rl2", reach), environments.num_envs)
    with pytest.raises(UserError, match="divided by 1, not by 10"):
        upstreams_evaluation(adapter, environments, num_evals=1, adaptation_episodes=1, evaluation_episodes=1)
    adapter = MetaWorldAdapter(built("rl2", reach), environments.num_envs, divisor=1.0)
    upstreams_evaluation(adapter, environments, num_evals=1, adaptation_episodes=1, evaluation_episodes=1)
    environments.close()


def test_measuring_by_the_protocol_end_to_end(reach):
    small = Protocol("small-v0", MetaWorld, adaptation=2, evaluation=2, goals=2)
    for name in ("rl2", "maml-trpo"):
        report = measure(built(name, reach), reach, protocol=small, hardware=Hardware(threads=1))
        assert report.protocol == "small-v0"
        assert report.mean_action.returns.shape == report.exploring.returns.shape == (2, 2, 2)
        assert report.random.returns.shape == (1, 2, 2)
        assert (report.episodes_seen, report.steps_seen) == ((0, 2), (0, 2 * HORIZON))
        assert report.names == ("reach-v3", "reach-v3")
        assert report.tasks[0].startswith("reach-v3: goal 0.0332")
        again = measure(built(name, reach), reach, protocol=small, hardware=Hardware(threads=2))
        np.testing.assert_array_equal(again.exploring.returns, report.exploring.returns)


def test_an_expert_reaches_and_one_that_leaves_a_goal_alone_does_not(reach):
    long = dataclasses.replace(reach, horizon=100)
    report = measure(Scripted(), long, shots=0, worlds=1, tasks=2, hardware=Hardware(threads=1), for_tasks=Scripted)
    np.testing.assert_array_equal(report.mean_action.success, [[[1], [1]]])
    assert report.mean_action.success_any_step.all()
    first = long.test[0]
    idle = Scripted(long.test[:2], acts_on=lambda task: task == first)
    report = measure(idle, long, shots=0, worlds=1, tasks=2, hardware=Hardware(threads=1))
    np.testing.assert_array_equal(report.mean_action.success, [[[1], [0]]])


def test_experts_are_evaluated_like_any_policy(tmp_path, capsys):
    assert main(["baseline", "scripted", "ml1/reach-v3", "--tasks", "1", "--out", str(tmp_path)]) == 0
    assert "100.0%" in capsys.readouterr().out
    described = json.loads((tmp_path / "report.json").read_text())
    assert described["by_name"][0]["shots"][0]["mean_action"]["success"] == 1


def example():
    """The program of the demonstration."""
    path = Path(__file__).parents[2] / "examples" / "overstated_success.py"
    spec = importlib.util.spec_from_file_location("overstated_success", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.slow
def test_upstream_overstates_what_ours_tells():
    program, suite = example(), suites.load("ml1/reach-v3")
    acts_on = program.smallest(program.first_goals(suite, 4), 0.25)
    assert program.truth(suite, acts_on, 4, 300) == 0.25
    assert program.upstream_says(suite, acts_on, goals=4, environments=4, steps=300) == 1.0


@pytest.mark.slow
@pytest.mark.parametrize("name", benchmarks.task_names(suites.folder()))
def test_experts_succeed_where_they_do_upstream(name):
    suite = suites.load(f"ml1/{name}")
    engine = ManipulationEngine(suite, 5, 1, threads=1)
    engine.assign(suite.train[:5])
    rollout, _ = collect(engine, Scripted(suite.train[:5]), None, Noise(0, (), 5, 1), explore=False)
    engine.close()
    expected = []
    for task in suite.train[:5]:
        from metaworld.env_dict import ALL_V3_ENVIRONMENTS
        from metaworld.policies import ENV_POLICY_MAP

        env, policy = ALL_V3_ENVIRONMENTS[name](), ENV_POLICY_MAP[name]()
        env._set_task_called = env._freeze_rand_vec = True
        env._last_rand_vec = np.array(dict(task.parameters)["goal"])
        seen, _ = env.reset()
        reached = []
        for _ in range(500):
            # In single precision, as a policy of ours sees and acts: what it rounds moves a last step now and then.
            shown = np.append(seen[:36].astype(np.float32), env._target_pos)  # upstream hides the goal
            action = np.clip(policy.get_action(shown), -1, 1).astype(np.float32)
            seen, _, _, _, told = env.step(action)
            reached.append(bool(told["success"] > 0))
        expected.append((any(reached), reached[-1]))
    found = zip(rollout.success[:, 0].any(dim=-1).tolist(), rollout.success[:, 0, -1].tolist(), strict=True)
    assert list(found) == expected
