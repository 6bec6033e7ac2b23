"""Searches end to end on the tiny suite: repeated to the same bytes, killed and resumed, shown, trained from."""

import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from conftest import TINY_SUITE

import robometa
from robometa import suites
from robometa.commands.main import main
from robometa.errors import UserError
from robometa.search.budget import Budget
from robometa.search.record_file import JOURNAL, RECORD
from robometa.search.run import begin, planned, read, resume
from robometa.search.timings import Times, read_times
from robometa.search.work import Order, Searching
from robometa.training.run_folder import RunFolder
from robometa.trials.workers import pool
from tests.search_in_process import SMALL, Here

optuna = pytest.importorskip("optuna")
SPACE = {
    "tasks": {"low": 2, "high": 3},
    "hidden": {"width": [4, 8], "depth": [1, 2]},
    "inner_step_size": {"low": 0.01, "high": 1.0, "log": True},
}
SPACE |= {"discount": 0.99, "gae_lambda": 0.9, "initial_std": 1.0, "action_scale": 0.5, "kl_bound": 0.02}
SPACE |= {"value_weight": 0.0, "last_layer_scale": 1.0}
SIZES = {"budget": "700", "training": "120", "generation": 3, "rungs": 2, "finalists": 1, "seeds": 1}


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """A working directory with the tiny suite and a space, and work without processes."""
    monkeypatch.chdir(tmp_path)
    Path("tiny.toml").write_text(TINY_SUITE + SMALL, encoding="utf-8")
    monkeypatch.setattr("robometa.search.cluster.Pool", Here)
    return tmp_path


@pytest.fixture(scope="module")
def searched(tmp_path_factory):
    """A whole search, whose folder no test changes."""
    place = tmp_path_factory.mktemp("searched")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        patch.setattr("robometa.search.cluster.Pool", Here)
        Path("tiny.toml").write_text(TINY_SUITE + SMALL, encoding="utf-8")
        return search("a", validation=0.4)


def search(folder, **settings):
    suite, made, _ = planned("tiny.toml", ("maml-trpo",), space=SPACE, **SIZES | settings)
    return begin(suite, made, folder, 1, silent=True)


def of_trials(folder):
    """Everything of a search that must repeat."""
    folder = Path(folder)
    names = [*folder.glob("*/*/metrics.jsonl"), *folder.glob("*/*/policy/tensors.safetensors")]
    assert len(names) >= 12
    files = [folder / RECORD, *sorted(names)]
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def test_a_search_keeps_to_its_budget_and_ends_with_options_to_train_with(searched, capsys):
    state, best_file = searched.state, str(searched.best)
    assert state.trials[0].is_preset
    assert [len(trial.results) for trial in state.trials[:3]].count(2) == 1
    assert len(state.finals) == 2
    assert {one.seed for one in state.finals} == {1}
    assert 500 < state.spent() + sum(one.result.cost for one in state.finals) <= 700
    best = state.trials[state.finalists[0]]
    assert not best.is_preset
    assert searched.best.read_text().startswith("# robometa train ")
    words = ["train", "tiny.toml", "maml-trpo", "--config", best_file, "--folder", "run", "--iterations", "1"]
    assert main(words) == 0
    options = json.loads(Path("run/run.json").read_text())["config"]
    assert options["iterations"] == 1
    assert options["inner_step_size"] == best.options["inner_step_size"]
    assert options["hidden"] == best.options["hidden"]
    capsys.readouterr()
    assert main(["train", "tiny.toml", "promp", "--config", best_file]) == 2
    assert "options of learner maml-trpo, not of promp" in capsys.readouterr().err


def test_validation_tasks_are_cut_from_the_training_tasks_and_held_out_ones_stay_out(searched):
    suite, cut = suites.load("tiny.toml"), suites.load(searched.folder / "suite/tiny-validation.toml")
    assert len(searched.settings.validation_tasks) == len(cut.test) == 2
    assert {task.parameters for task in cut.train + cut.test} == {task.parameters for task in suite.train}
    assert not {task.parameters for task in cut.test} & {task.parameters for task in cut.train}
    assert cut.content_hash == searched.settings.validation_hash
    for run in (searched.folder / "trials").iterdir():
        assert json.loads((run / "run.json").read_text())["suite_hash"] == cut.content_hash
    for run in (searched.folder / "finals").iterdir():
        assert json.loads((run / "run.json").read_text())["suite_hash"] == suite.content_hash


def test_processor_times_are_those_of_all_runs_and_of_what_came_on_top(searched, capsys):
    runs = [*searched.folder.glob("trials/*"), *searched.folder.glob("finals/*")]
    rows = [row for run in runs for row in RunFolder(run).rows("timings.jsonl")]
    assert len(rows) >= len(runs) > 0
    times = read_times(searched.folder)
    assert times.training == pytest.approx(sum(row["processor"] for row in rows))
    assert times.beside > 0
    assert times.driver > 0
    assert main(["search", "--show", str(searched.folder)]) == 0
    assert times.words() in capsys.readouterr().out
    assert times.words() in (searched.folder / "report.html").read_text(encoding="utf-8")
    assert Times(120.0, 6.0, 1.2).words() == (
        "Processor time: trainings 2.0 core-minutes; on top of it sizing, scoring and starting 5 %, suggesting and "
        "recording 1 %."
    )
    assert Times(3.0, 5.0, 0.01).words() == (
        "Processor time: trainings 3 core-seconds; on top of it sizing, scoring and starting 167 %, suggesting and "
        "recording 0.33 %."
    )


def test_finals_of_which_a_run_is_gone_are_shown_from_the_record(searched, capsys):
    search = Path(shutil.copytree(searched.folder, "copy"))
    shutil.rmtree(search / "finals" / "maml-trpo-preset-1" / "policy")
    for _ in range(2):
        assert main(["search", "--show", str(search)]) == 0
        assert "their runs are not all here" in " ".join(capsys.readouterr().out.split())
        shutil.rmtree(search / "finals" / "maml-trpo-preset-1", ignore_errors=True)


def test_a_training_that_another_process_did_is_not_counted_twice(searched):
    run = Path(shutil.copytree(searched.folder, "copy")) / "finals" / "maml-trpo-preset-1"
    whole = int(RunFolder(run).configuration().options["iterations"])
    order = Order(str(run), "tiny.toml", "maml-trpo", "default", {}, seed=1, share=1.0, whole=whole)
    outcome = Searching(suites.load("tiny.toml"), Budget(120.0, "steps"), ("return",)).begun()(order)
    assert not outcome.result.failure
    assert outcome.training == 0
    assert outcome.beside > 0


def test_a_search_that_stops_anywhere_is_resumed_to_the_same_bytes(searched, monkeypatch):
    """Stopped before one order in four, and within the record's lines."""
    whole, count = Searching.result, [0]

    class Gone(Exception):
        pass

    def cut_short(self, order):
        count[0] += 1
        if count[0] % 4 == 0:
            raise Gone
        return whole(self, order)

    monkeypatch.setattr(Searching, "result", cut_short)
    with pytest.raises(Gone):
        search("b", validation=0.4)
    for _ in range(40):
        with (Path("b") / RECORD).open("ab") as file:
            file.write(b'{"kind": "rung", "res')
        try:
            resume("b", 1, silent=True)
            break
        except Gone:
            continue
    assert of_trials("b") == of_trials(searched.folder)
    numbers = [trial.number for trial in read("b").state.trials]
    assert numbers == [*range(len(numbers))]
    journal = optuna.load_study(study_name="maml-trpo", storage=_storage("b"))
    told = sorted(trial.user_attrs["trial"] for trial in journal.trials if "trial" in trial.user_attrs)
    assert told == [trial.name for trial in searched.state.trials if trial.parameters is not None]


def _storage(folder):
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock

    path = str(Path(folder, JOURNAL).resolve())
    return JournalStorage(JournalFileBackend(path, lock_obj=JournalFileOpenLock(path)))


def test_a_pruned_trial_is_a_run_that_can_be_resumed(searched, monkeypatch):
    monkeypatch.chdir(searched.folder.parent)
    pruned = next(trial for trial in searched.state.trials if len(trial.results) == 1)
    copy = searched.folder / "trials" / "copy"
    shutil.copytree(searched.folder / "trials" / pruned.name, copy)
    robometa.resume(copy, loggers=())
    trained = json.loads((copy / "policy/manifest.json").read_text())["training"]["iterations"]
    assert trained == pruned.results[0].whole > pruned.results[0].iterations
    shutil.rmtree(copy)


@pytest.mark.slow
def test_a_trial_that_fails_is_a_result_and_does_not_end_the_search(monkeypatch):
    from robometa.learners.maml_trpo import MamlTrpo

    learn = MamlTrpo.update

    def breaks(self, trial):
        if len(self.config.hidden) == 2:
            raise RuntimeError("no such thing")
        return learn(self, trial)

    monkeypatch.setattr(MamlTrpo, "update", breaks)
    result = search("a", finalists=0)
    failed = [trial for trial in result.state.trials if trial.failure]
    assert failed
    assert failed[0].failure == "RuntimeError: no such thing"
    assert main(["search", "--show", "a"]) == 0


@pytest.mark.slow
def test_several_learners_share_the_budget_and_several_objectives_make_a_front(capsys):
    space = {"maml-trpo": SPACE, "promp": {"hidden": {"width": [4, 8]}, "epochs": {"low": 1, "high": 2}}}
    suite, made, _ = planned(
        "tiny.toml",
        ("maml-trpo", "promp"),
        space=space,
        objective=("return", "parameters"),
        **SIZES | {"budget": "900", "finalists": 2, "sampler": "random"},
    )
    result = begin(suite, made, "a", 1, silent=True)
    spent = {label: result.state.spent(label) for label in ("maml-trpo", "promp")}
    assert all(spent.values())
    assert result.state.generations[0].learner != result.state.generations[1].learner
    assert len(result.state.finalists) == 2
    assert main(["search", "--show", "a"]) == 0
    page = Path("a/report.html").read_text()
    for words in (
        "Pareto front",
        "hand-set preset",
        "Finals on held-out tasks",
        "promp",
        "History",
        ", finalist 1</td>",
    ):
        assert words in page
    assert "<script" not in page
    assert "finals on held-out tasks" in capsys.readouterr().out


def test_processor_time_as_a_budget(monkeypatch):
    suite, made, _ = planned(
        "tiny.toml", ("maml-trpo",), space=SPACE, **SIZES | {"budget": "0.9s", "training": "0.2s", "finalists": 0}
    )
    assert made.budget.unit == "seconds"
    result = begin(suite, made, "a", 1, silent=True)
    trained = [trial for trial in result.state.trials if not trial.is_preset]
    assert all(0 < trial.results[0].cost < 5 for trial in trained)
    assert not [*Path("a/trials").glob(".*")]


def test_learners_of_ones_own_are_searched_but_never_run_unasked(capsys):
    assert main(["learners", "--template", "mine.py"]) == 0
    space = {"worlds": 2, "tasks": 2}
    suite, made, _ = planned("tiny.toml", ("./mine.py:MyLearner",), space=space, **SIZES | {"budget": "450"})
    result = begin(suite, made, "a", 1, silent=True)
    assert {*result.state.trials[1].parameters} == {"std", "discount", "step_size", "start_rate"}
    Path("mine.py").write_text("raise SystemExit('run unasked')\n")
    assert main(["search", "--show", "a"]) == 0
    Path("a/report.html").unlink()
    Path("a/report.html").mkdir()
    capsys.readouterr()
    assert main(["search", "--show", "a"]) == 2
    assert capsys.readouterr().err == "error: a/report.html cannot be written: Is a directory\n"
    assert main(["search", "--resume", "a"]) == 2
    assert "not run unasked" in capsys.readouterr().err


def test_mistakes_are_one_line(capsys):
    Path("space.toml").write_text("[search]\nwidth = 3\n")
    Path("range.toml").write_text("[search]\nkl_bound = { low = -1, high = 2 }\n")
    Path("none.toml").write_text("[other]\n")
    Path("a").mkdir()
    for words, said in (
        (["tiny.toml", "maml-trpo", "--budget", "8 hours"], "budget must be a processor time such as 8h"),
        (["tiny.toml", "maml-trpo", "--budget", "1e5", "--training", "1e5"], "is too small"),
        (["tiny.toml", "maml-trpo", "--budget", "8h", "--training", "1e5"], "both be processor times"),
        (["tiny.toml", "maml-trpo", "--objective", "speed"], "unknown objective 'speed'"),
        (["tiny.toml", "maml-trpo", "--objective", "gap"], "no reference returns"),
        (["tiny.toml", "maml-trpo", "--space", "space.toml"], "unknown option 'width'"),
        (["tiny.toml", "maml-trpo", "--space", "range.toml"], "kl_bound must be above 0, not -1"),
        (["tiny.toml", "maml-trpo", "--space", "none.toml"], "no table [search]"),
        (["tiny.toml", "random"], "nothing to search"),
        (["tiny.toml", "maml-trpo", "rl2", "--preset", "demo"], "one learner's"),
        (["tiny.toml", "maml-trpo", "--sampler", "grid"], "unknown sampler 'grid'"),
        (["maml-trpo"], "maml-trpo is a learner"),
        (["tiny.toml", "maml-trpo", "--folder", "a"], "a exists already"),
        (["ml1/reach-v3", "maml-trpo"], "cannot be searched"),
        (["--resume", "a"], "no search here"),
        (["--show", "b"], "no search here"),
        ([], "search needs a suite"),
        (["--resume", "a", "--budget", "9h"], "--budget has no effect on --resume: leave it out"),
        (["--show", "a", "--dry-run"], "--dry-run has no effect on --show"),
        (["--show", "a", "--jobs", "2"], "--jobs has no effect on --show"),
    ):
        assert main(["search", *words]) == 2, words
        shown = capsys.readouterr().err
        assert said in shown, (words, shown)
        assert shown.count("\n") == 1
    assert [*Path("a").iterdir()] == []


def test_the_space_is_shown_without_training(capsys):
    assert main(["search", "half-cheetah-velocity", "rl2", "--budget", "1h", "--dry-run"]) == 0
    shown = capsys.readouterr().out
    for words in ("hidden.width", "memory_size", "gru | lstm", "generations of 9 trials", "20"):
        assert words in shown
    assert not Path("search").exists()


@pytest.mark.parametrize(("budget", "told"), [("1e5", True), ("1e9", False), ("1h", False)])
def test_a_plan_says_if_an_iteration_is_longer_than_the_shortest_trials(budget, told, capsys):
    assert main(["search", "point-robot", "rl2", "--budget", budget, "--dry-run"]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    wanted = r"warning: an iteration of rl2 takes [\d,]+ steps, the shortest trials may take 278 steps: "
    assert (bool(re.search(wanted, shown)), "warning" in shown) == (told, told)


@pytest.mark.slow
def test_a_search_that_is_killed_at_random_moments_ends_in_the_same_bytes(monkeypatch):
    """Six kills of the process group at seeded moments."""
    monkeypatch.setattr("robometa.search.cluster.Pool", pool.Pool)
    Path("space.toml").write_text(_toml(), encoding="utf-8")
    words = [part for name, value in SIZES.items() for part in (f"--{name}", str(value))]
    begun = ["tiny.toml", "maml-trpo", "--space", "space.toml", "--jobs", "2", *words]
    assert _run(["search", *begun, "--folder", "a"]).wait() == 0
    expected, chance, kills = of_trials("a"), random.Random(0), 0
    for _ in range(100):
        resumes = Path("b/search.json").exists()
        process = _run(["search", "--resume", "b", "--jobs", "2"] if resumes else ["search", *begun, "--folder", "b"])
        if kills < 6:
            time.sleep(chance.uniform(1.0, 12.0))
            kills += 1
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        elif process.wait() == 0:
            break
    assert of_trials("b") == expected


def _run(words):
    command = [sys.executable, "-P", "-m", "robometa", *words]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, start_new_session=True)


def _toml():
    from robometa.suites.toml_file import written

    return written({"search": SPACE})


def test_a_stop_signal_says_how_to_go_on(monkeypatch, capsys):
    def stopped(self, order):
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(5)

    monkeypatch.setattr(Searching, "result", stopped)
    Path("space.toml").write_text(_toml(), encoding="utf-8")
    words = [part for name, value in SIZES.items() for part in (f"--{name}", str(value))]
    assert main(["search", "tiny.toml", "maml-trpo", "--space", "space.toml", "--folder", "a", *words]) == 75
    assert "go on with: robometa search --resume" in capsys.readouterr().err
    with pytest.raises(UserError, match="exists already: go on with"):
        search("a")
