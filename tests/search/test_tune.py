"""Ray Tune takes a training as it is, with Optuna's searcher and ASHA."""

import os
import sys
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest
from conftest import TINY_SUITE

import robometa
from robometa.errors import UserError
from robometa.search.tune import options_of
from robometa.trials.collectors import ray_session


def test_widths_and_depths_become_lists():
    config = {"hidden.width": 4, "hidden.depth": 2, "discount": 0.9}
    assert options_of(config) == {"hidden": [4, 4], "discount": 0.9}
    with pytest.raises(UserError, match="belong together"):
        options_of({"hidden.width": 4})


@pytest.mark.parametrize(
    "config",
    [
        5,
        {5: 1},
        {"hidden.width": "x", "hidden.depth": 1},
        {"hidden.width": 4, "hidden.depth": 10**9},
        {"hidden.width": 4, "hidden.depth": float("nan")},
        {"hidden.width": float("inf"), "hidden.depth": 1},
    ],
)
def test_an_impossible_configuration_is_one_message(config):
    with pytest.raises(UserError):
        options_of(config)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"reports": 0}, "reports must be a whole number from 1"),
        ({"reports": 2.5}, "reports must be a whole number"),
        ({"seed": "x"}, "seed must be a whole number"),
        ({"validation": float("nan")}, "validation must be above 0"),
        ({"validation": "x"}, "validation must be above 0"),
        ({"options": {"hiden": 4}}, "did you mean 'hidden'"),
        ({"options": {"hidden": "x"}}, "must be something like"),
        ({"options": 5}, "a table of options"),
        ({"preset": "none"}, "unknown preset 'none'"),
    ],
)
def test_impossible_arguments_are_told_before_a_trial_begins(settings, said, tmp_path):
    path = tmp_path / "tiny.toml"
    path.write_text(TINY_SUITE, encoding="utf-8")
    with pytest.raises(UserError, match=said):
        robometa.search.trainable(path, "maml-trpo", **settings)


@pytest.fixture
def told(tmp_path, monkeypatch):
    """What is reported to a module that stands for Ray Tune; its folder of a trial is the test's."""
    reports = list[dict[str, float]]()
    module = ModuleType("ray")
    module.__spec__ = ModuleSpec("ray", None)
    context = SimpleNamespace(get_trial_dir=lambda: str(tmp_path))
    draws = dict.fromkeys(("choice", "lograndint", "randint", "loguniform", "uniform"), lambda *given: given)
    module.tune = SimpleNamespace(get_context=lambda: context, report=reports.append, **draws)
    monkeypatch.setitem(sys.modules, "ray", module)
    (tmp_path / "tiny.toml").write_text(TINY_SUITE, encoding="utf-8")
    return reports


def test_a_training_reports_as_often_as_is_asked_and_at_its_end(told, tmp_path):
    small = {"tasks": 2, "worlds": 2, "hidden": [4], "iterations": 5}
    robometa.search.trainable(tmp_path / "tiny.toml", "maml-trpo", options=small, reports=3)({"discount": 0.9})
    assert [one["iterations"] for one in told] == [2, 4, 5]
    assert {"return", "success", "steps"} < told[0].keys()


def test_a_space_for_tune_takes_a_learner_s_own_table(told, tmp_path):
    table = {"discount": 0.9, "maml-trpo": {"kl_bound": 0.02}}
    space = robometa.search.parameter_space(tmp_path / "tiny.toml", "maml-trpo", space=table)
    assert (space["discount"], space["kl_bound"]) == (0.9, 0.02)
    with pytest.raises(TypeError):
        robometa.search.parameter_space(tmp_path / "tiny.toml", "maml-trpo", spaces=table)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.timeout(600)
def test_tune_trains_with_optuna_and_asha(tmp_path, monkeypatch):
    """It needs ray[tune] and Optuna."""
    tune = pytest.importorskip("ray.tune", exc_type=ImportError)
    pytest.importorskip("optuna")
    import ray
    from ray.tune.schedulers import ASHAScheduler
    from ray.tune.search.optuna import OptunaSearch

    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    monkeypatch.setenv("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    monkeypatch.setenv("RAY_AUTH_MODE", "token")
    monkeypatch.setenv("RAY_AUTH_TOKEN", "0123456789abcdef" * 4)
    ray_session._read_again()
    path = tmp_path / "tiny.toml"
    path.write_text(TINY_SUITE, encoding="utf-8")
    small = {"tasks": 2, "worlds": 2, "iterations": 4}
    space = robometa.search.parameter_space(path, "maml-trpo", space={"hidden": {"width": [4, 8], "depth": [1, 2]}})
    house = str(Path(robometa.__file__).parents[1])
    python_path = os.pathsep.join([house, *filter(None, [os.environ.get("PYTHONPATH")])])
    ray.init(num_cpus=1, include_dashboard=False, runtime_env={"env_vars": {"PYTHONPATH": python_path}})
    try:
        found = tune.Tuner(
            robometa.search.trainable(path, "maml-trpo", options=small, reports=4),
            param_space={name: value for name, value in space.items() if name != "tasks"},
            tune_config=tune.TuneConfig(
                metric="return",
                mode="max",
                num_samples=3,
                search_alg=OptunaSearch(),
                scheduler=ASHAScheduler(time_attr="iterations", max_t=4, grace_period=1),
            ),
            run_config=tune.RunConfig(storage_path=str(tmp_path / "tune"), verbose=0),
        ).fit()
    finally:
        ray.shutdown()
    assert found.num_errors == 0
    assert len(found) == 3
    best = found.get_best_result()
    assert best.metrics["return"] == max(one.metrics["return"] for one in found)
    assert best.metrics["iterations"] <= 4
    assert {"hidden.width", "hidden.depth", "kl_bound"} <= best.config.keys()
