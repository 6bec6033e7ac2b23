"""The benchmark runs from end to end and tells every figure. How large they are is not for a test to say."""

import json
import math
import subprocess
import sys
from pathlib import Path

import pytest

from bench.__main__ import arguments
from bench.budget import Budget, steady
from bench.contests import CONTESTS
from bench.measure import Comparison, Contest, Figure, Result, best, cost, hold, ratio
from bench.report import BEGIN, END, write_page
from bench.size import QUICK

ROOT = Path(__file__).parents[2]
ENGINE = {"raw C limit", "engine"}
VARIED = ENGINE | {"engine, randomised"}
SAMPLED = VARIED | {"sampler", "sampler's raw C limit"}
COLLECTED = {"raw C limit", "rollout", "trial here", "trial by processes"}
FIGURES = {
    "maml-trpo": {"raw C limit", "sampling and adapting", "update", "iteration", "peak memory"},
    "pearl": {
        "gradient step, preset cpu",
        "gradient step, preset paper",
        "gradient step as the reference takes it",
    },
    "rl2": {"raw C limit", "sampling", "update", "training"},
    "maml-trpo rollouts": COLLECTED,
    "rl2 rollouts": COLLECTED,
    "grbal": {"planned step, 1 world", "planned step, 10 worlds"},
    "half-cheetah": SAMPLED
    | {
        "Gymnasium, one environment",
        "Gymnasium AsyncVectorEnv(2)",
        "Stable-Baselines3 SubprocVecEnv(2)",
        "EnvPool synchronous, 4",
        "EnvPool asynchronous, 2 of 4",
    },
    "push-v3": {"engine", "upstream, one environment", "EnvPool"},
    "ml10": {"engine", "upstream, asynchronous vector", "first step of ml10", "memory of 500 worlds of ml45"},
    "ant": SAMPLED,
    "walker2d": SAMPLED,
    "hopper": SAMPLED,
    "humanoid": ENGINE,
}


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """What a quick run prints, and what it writes."""
    path = tmp_path_factory.mktemp("bench") / "bench.json"
    command = [sys.executable, "-W", "error::ResourceWarning", "-m", "bench", "--quick", "--json", str(path)]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=250, check=False)
    assert run.returncode == 0, run.stderr
    return run.stdout, json.loads(path.read_text())


@pytest.mark.slow
def test_every_figure_is_there(written):
    text, content = written
    assert {name: set(contest["figures"]) for name, contest in content["contests"].items()} == FIGURES
    for contest in content["contests"].values():
        for name, figure in contest["figures"].items():
            assert name in text
            if figure["note"]:
                assert name.startswith("EnvPool") or name == "upstream, asynchronous vector"
                assert figure["median"] is None
                continue
            assert len(figure["rounds"]) == content["rounds"]
            assert math.isfinite(figure["median"])
            assert figure["median"] > 0


@pytest.mark.slow
def test_every_comparison_is_finite_and_judged(written):
    _, content = written
    without_pool = content["machine"]["versions"]["envpool"] == "not installed"
    for contest in content["contests"].values():
        for name, row in contest["comparisons"].items():
            if (without_pool and "EnvPool" in name) or "asynchronous vector" in name:
                assert row["value"] is None
                continue
            assert math.isfinite(row["value"])
            assert (row["reached"] is None) == (row["target"] is None)


@pytest.mark.slow
def test_machine_and_versions_are_told(written):
    text, content = written
    machine = content["machine"]
    assert machine["cores"] >= 1
    assert {"mujoco", "torch", "gymnasium"} <= set(machine["versions"])
    assert machine["processor"] in text


def test_a_ratio_is_taken_round_by_round_and_the_best_mode_is_the_rival():
    values = {"engine": [10.0, 30.0, 20.0], "EnvPool a": [5.0, 10.0, 5.0], "EnvPool b": [1.0, 50.0, 1.0]}
    assert best(values, "EnvPool") == [5.0, 10.0, 5.0]  # median 5 against 1
    assert ratio("engine", "EnvPool").of(values) == [2.0, 3.0, 4.0]
    assert cost("it", "EnvPool a", "engine", 0.1).of(values) == [0.5, pytest.approx(2 / 3), 0.75]


def test_targets_are_bounds_on_either_side_and_missing_figures_are_told():
    lower, upper = (
        Comparison("a", lambda values: [0.0], 0.9),
        Comparison("b", lambda values: [0.0], 0.1, at_least=False),
    )
    assert lower.reached(0.9)
    assert not lower.reached(0.89)
    assert upper.reached(0.1)
    assert not upper.reached(0.11)
    missing = Figure("EnvPool x", missing="not installed")
    result = Result("none", Contest((Figure("engine"), missing), ()), {"engine": [1.0]})
    assert result.of(ratio("engine", "EnvPool")) is None


def test_entries_are_measured_in_turn_and_every_other_round_backwards():
    from contextlib import nullcontext

    order = []

    def entry(name):
        order.append(name)
        return {name: float(len(order))}

    contest = Contest((Figure("a"), Figure("b")), (lambda: entry("a"), lambda: entry("b")))
    result = hold("two", lambda size: nullcontext(contest), QUICK, 3, lambda words, part: None)
    assert order == ["a", "b", "b", "a", "a", "b"]
    assert result.values == {"a": [1.0, 4.0, 5.0], "b": [2.0, 3.0, 6.0]}


def test_a_contest_ends_when_its_figures_are_steady_or_its_share_of_the_time_is_used_up():
    from contextlib import nullcontext

    now = [0.0]

    def measured(values, seconds):
        values = iter(values)

        def entry():
            now[0] += seconds
            return {"a": next(values)}

        return lambda size: nullcontext(Contest((Figure("a"),), (entry,)))

    done = []
    budget = Budget(40.0, 3, clock=lambda: now[0])
    tick = lambda words, part: done.append(part)  # noqa: E731
    slow = hold("slow", measured([1.0, 2.0, 3.0], 8.0), QUICK, 3, tick, budget.next())
    assert slow.values == {"a": [1.0]}  # a second round would end at 16 s, and its share is 13.3
    assert sum(done) == pytest.approx(1.0)
    even = hold("even", measured([1.0, 1.02, 1.0], 2.0), QUICK, 3, tick, budget.next())
    assert even.values == {"a": [1.0, 1.02]}
    rest = hold("rest", measured([1.0, 2.0, 3.0], 9.0), QUICK, 3, tick, budget.next())  # 28 s are left
    assert rest.values == {"a": [1.0, 2.0, 3.0]}


def test_one_round_is_never_steady():
    assert not steady({"a": [1.0]})
    assert steady({"a": [1.0, 1.03], "b": [100.0, 98.0]})
    assert not steady({"a": [1.0, 1.03], "b": [100.0, 90.0]})


def test_the_figures_are_written_between_the_marks_of_the_page(tmp_path):
    page = tmp_path / "benchmark.md"
    page.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n", encoding="utf-8")
    write_page(page, "new")
    assert page.read_text(encoding="utf-8") == f"before\n{BEGIN}\n\nnew\n\n{END}\nafter\n"
    page.write_text("no marks\n", encoding="utf-8")
    with pytest.raises(ValueError, match="lacks"):
        write_page(page, "new")
    published = (ROOT / "docs" / "benchmark.md").read_text(encoding="utf-8")
    assert published.count(BEGIN) == published.count(END) == 1


@pytest.mark.parametrize("part", [["--quick"], ["--only", "rl2"]])
def test_a_page_takes_a_complete_run(part, capsys):
    with pytest.raises(SystemExit):
        arguments(["--write", "page.md", *part], list(CONTESTS))
    assert "complete run" in capsys.readouterr().err


def test_every_world_gets_a_model_of_its_own():
    from bench.physics import SUITES, adjusted, mixtures, plain, varied_names
    from robometa import suites

    suite = adjusted(suites.load(SUITES["walker2d"]), "walker2d", 1000)
    assert suite.robot.frame_skip == 4
    assert suite.horizon == 250
    assert len(set(mixtures(suite.train, 512))) == 512
    assert varied_names(suite)
    assert not varied_names(plain(suite))


def test_replaying_a_motion_ends_where_the_engine_did():
    # Two control steps: later the warmstart, which only the replay carries over, shows.
    import mujoco
    import numpy as np

    from bench.physics import CONTROL, FULL_PHYSICS, SUITES, adjusted, engine_replay, noise_of, plain, random_actions
    from robometa import suites
    from robometa.sim.locomotion.engine import CpuEngine

    engine = CpuEngine(plain(adjusted(suites.load(SUITES["ant"]), "ant", 10)), 2, 3, threads=2)
    action = random_actions(engine)
    replay = engine_replay(engine, action)
    assert replay.steps == 12
    engine.reset(noise_of(engine))
    engine.step(action[0])
    reached = engine.state().physics.reshape(6, -1)
    data = mujoco.MjData(replay.model)
    for world in range(6):
        mujoco.mj_setState(replay.model, data, replay.start[world], FULL_PHYSICS)
        for control in replay.control[world, : engine.robot.frame_skip]:
            mujoco.mj_setState(replay.model, data, control, CONTROL)
            mujoco.mj_step(replay.model, data)
        ended = np.empty(reached.shape[1])
        mujoco.mj_getState(replay.model, data, ended, FULL_PHYSICS)
        assert np.allclose(ended, reached[world], atol=1e-7)
    replay.close()
    engine.close()
