"""Folders of searches from a stranger: nothing outside is touched, and whatever a file says is one message."""

import copy
import json
import signal
from dataclasses import replace
from pathlib import Path

import pytest
from conftest import TINY_SUITE

from robometa import suites
from robometa.commands.search import _finish
from robometa.compute.hardware import Hardware
from robometa.errors import FolderGoneError, Stopped, TrainingError, UserError
from robometa.search import drawing, driver, page, work
from robometa.search.budget import Budget
from robometa.search.objectives import order
from robometa.search.record_file import JOURNAL, RECORD
from robometa.search.run import _stopping, begin, planned, read, resume
from robometa.search.space import space_of
from robometa.search.work import Order, Searching
from robometa.training.run_config import RunConfig
from robometa.training.run_folder import RunFolder

pytest.importorskip("optuna")
SPACE = {"hidden": {"width": [4, 8], "depth": [1, 2]}, "discount": {"low": 0.9, "high": 0.99}}
SPACE |= {"tasks": 2, "worlds": 2, "gae_lambda": 0.9, "initial_std": 1.0, "action_scale": 0.5, "kl_bound": 0.02}
SPACE |= {"value_weight": 0.0, "last_layer_scale": 1.0}
SPACE |= {"inner_step_size": 0.1}
SIZES = {"budget": "700", "training": "120", "generation": 2, "rungs": 2, "finalists": 1, "seeds": 1}
SCORES = {"return": -5.0, "gap": 0.0, "success": 0.0, "parameters": 29.0}


class Reached(Exception):
    """The search would train now."""


class NoPool:
    """Stands for the worker processes."""

    def __init__(self, *given):
        self.given = given

    def run(self, orders):
        """Ends the search where it would train."""
        raise Reached

    def close(self):
        """Frees nothing."""


def lines():
    """A record: a generation with a rung, and a second one, which has trained nothing yet."""
    parameters = [{"hidden.width": width, "hidden.depth": 1, "discount": 0.95} for width in (4, 5, 6, 7)]
    trials = [
        {"number": number, "parameters": one, "options": {"hidden": [one["hidden.width"]]}, "is_preset": False}
        for number, one in enumerate(parameters)
    ]
    result = {"iterations": 1, "whole": 3, "cost": 40.0, "failure": "", "scores": SCORES}
    return [
        {"kind": "generation", "learner": "maml-trpo", "trials": trials[:2]},
        {"kind": "rung", "results": [{"number": number, **result} for number in range(2)]},
        {"kind": "rung", "results": [{"number": 0, **result}]},
        {"kind": "generation", "learner": "maml-trpo", "trials": trials[2:]},
    ]


def write(record):
    """Writes a record."""
    Path("s", RECORD).write_text("".join(json.dumps(line) + "\n" for line in record), encoding="utf-8")


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """A working directory with the tiny suite, where nothing is trained."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("robometa.search.cluster.Pool", NoPool)
    Path("tiny.toml").write_text(TINY_SUITE, encoding="utf-8")


@pytest.fixture
def search(folder):
    """A search that has begun."""
    suite, made, _ = planned("tiny.toml", ("maml-trpo",), space=SPACE, **SIZES)
    with pytest.raises(Reached):
        begin(suite, made, "s", 1, silent=True)
    write(lines())
    return Path("s")


def resumed():
    """True if the search goes on up to its next training."""
    with pytest.raises(Reached):
        resume("s", 1, silent=True)
    return True


def damage(record, place, value):
    """The record with a value in the place of another; without it if the value is an ellipsis."""
    record = copy.deepcopy(record)
    owner = record
    for key in place[:-1]:
        owner = owner[key]
    if value is ...:
        del owner[place[-1]]
    else:
        owner[place[-1]] = value
    return record


@pytest.mark.parametrize(
    ("place", "values"),
    [
        ((0, "learner"), ("rl2", 5, ...)),
        ((0, "trials"), ([], 5, [[]], ...)),
        ((0, "trials", 0, "number"), (1, -1, "0")),
        ((0, "trials", 1, "parameters"), ({"other": 1}, 5, {"x" * 300: 1}, {"\x1b[2J": 1})),
        ((0, "trials", 0, "parameters", "discount"), ([], {}, "\x1b[2J", "\ud800", float("nan"), 10**400)),
        ((0, "trials", 0, "options"), (None, [], {"a": [[1]]}, {"a": {}}, {"a": "\ud800"}, {"\ud800": 1})),
        ((1, "results", 0, "number"), (5, 1, -1)),
        ((1, "results", 0, "scores"), ({}, {"gap": 1.0}, {"return": "x"}, {"return": float("inf")})),
        ((1, "results", 0, "whole"), (0, -1, 1.5)),
        ((1, "results", 0, "cost"), (-1.0, float("nan"))),
        ((2,), ({"kind": "finals", "results": []}, {"kind": "finalists", "numbers": 5}, {"kind": "other"})),
        ((2,), ({"kind": "finalists", "numbers": [0, 1]}, {"kind": "finalists", "numbers": [7]})),
    ],
)
def test_a_damaged_record_is_one_message(search, place, values):
    for value in values:
        write(damage(lines(), place, value))
        with pytest.raises(UserError, match="is damaged"):
            read("s")


def test_a_rung_beyond_the_last_and_lines_after_the_end_are_refused(search):
    record = lines()
    for more in ([record[2]], [record[1]], [{"kind": "finalists", "numbers": [0]}, record[3]]):
        write([*record[:3], *more])
        with pytest.raises(UserError, match="is damaged"):
            read("s")


@pytest.mark.parametrize(
    ("name", "value"), [("discount", 5), ("discount", "x"), ("discount", None), ("hidden.width", 4.5), ("more", 1)]
)
def test_parameters_of_another_space_are_refused(search, name, value):
    assert resumed()
    record = lines()
    for trial in record[0]["trials"] + record[3]["trials"]:
        trial["parameters"][name] = value
    write(record)
    with pytest.raises(UserError, match="parameters of another space"):
        resume("s", 1, silent=True)


def test_a_link_in_a_search_is_never_followed(search, tmp_path):
    mine = tmp_path / "mine"
    mine.write_text("secret", encoding="utf-8")
    for name in (JOURNAL, f"{JOURNAL}.lock", "best.toml", page.PAGE):
        (search / name).unlink(missing_ok=True)
        (search / name).symlink_to(mine)
    assert resumed()
    assert mine.read_text(encoding="utf-8") == "secret"
    assert not (search / JOURNAL).is_symlink()
    found = read("s")
    assert found.best is None
    with pytest.raises(UserError, match=r"best\.toml is not a file"):
        page.page(search, found.settings, found.state)
    for name in ("search.json", RECORD):
        content = (search / name).read_bytes()
        (search / name).unlink()
        (tmp_path / name).write_bytes(content)
        (search / name).symlink_to(tmp_path / name)
        with pytest.raises(UserError, match="is damaged"):
            read("s")
        (search / name).unlink()
        (search / name).write_bytes(content)


def an_order(folder="s/trials/0000", **changes):
    """Work of the first trial."""
    return Order(
        **{"folder": folder, "suite": "tiny.toml", "learner": "maml-trpo", "preset": "demo", "seed": 0}
        | {"options": {"hidden": [4]}, "share": 1.0}
        | changes
    )


def test_a_trial_is_trained_in_the_search_s_own_folder_only(tmp_path):
    search = tmp_path / "s"
    search.mkdir()
    working = Searching(suites.load("tiny.toml"), Budget(120.0, "steps"), ("return",))
    (tmp_path / "elsewhere" / "0000").mkdir(parents=True)
    (search / "trials").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UserError, match="its own folder only"):
        working.result(an_order())
    (search / "trials").unlink()
    (search / "trials").mkdir()
    (search / "trials" / "0000").symlink_to(tmp_path / "elsewhere" / "0000")
    with pytest.raises(UserError, match="its own folder only"):
        working.result(an_order())
    assert not [*(tmp_path / "elsewhere" / "0000").iterdir()]


@pytest.mark.parametrize(
    "change", [{"seed": 1}, {"options": {"hidden": [5]}}, {"learner": "promp", "preset": "default"}, {"whole": 7}]
)
def test_another_run_in_the_place_of_a_trial_counts_for_nothing(change):
    suite, asked = suites.load("tiny.toml"), an_order()
    options = work.resolve(suite, asked.learner, asked.options | {"iterations": 3}, asked.preset)
    hardware = Hardware(threads=1, torch_threads=1)
    described = json.loads(json.dumps(work.asdict(options)))
    run = RunFolder(Path(asked.folder))
    run.path.mkdir(parents=True)
    run.configure(RunConfig("tiny.toml", suite.content_hash, "maml-trpo", None, "demo", described, 0, hardware, 5.0))
    work._require_own(asked, suite)
    with pytest.raises(UserError, match="not the run that the search began"):
        work._require_own(an_order(**change), suite)


def test_a_trial_that_fails_at_once_costs_something_or_a_search_would_never_end():
    working = Searching(suites.load("tiny.toml"), Budget(120.0, "steps"), ("return",))
    refused = working.result(an_order(options={"hidden": "x"}))
    assert refused.failure
    assert refused.cost == pytest.approx(12.0)


def test_the_next_command_names_the_file_of_a_learner_of_one_s_own(search, capsys):
    write([*lines(), {"kind": "rung", "results": []}, {"kind": "finalists", "numbers": [0]}])
    (search / "best.toml").touch()
    found = read("s")
    for trial in found.state.trials:
        trial.learner = "Mine"
    _finish(replace(found, settings=replace(found.settings, learners=("/own/mine.py:Mine",))))
    assert "train tiny.toml /own/mine.py:Mine --config" in capsys.readouterr().out


@pytest.mark.parametrize(
    "error", [OSError(28, "No space left on device"), TrainingError("No space left on device")], ids=["disk", "trial"]
)
def test_where_a_search_fails_it_names_the_command_that_goes_on(search, monkeypatch, error):
    def full(self):
        raise error

    monkeypatch.setattr(driver.Search, "run", full)
    with pytest.raises(TrainingError, match=r"No space left on device; go on with: robometa search --resume /\S*/s$"):
        resume("s")
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(FolderGoneError, match=r"gone$"), _stopping("go on"):
        raise FolderGoneError("gone")
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_stop_signal_ends_a_search_as_stopped_and_names_the_command_once():
    with pytest.raises(Stopped, match=r"^stopped by SIGTERM; go on with: go on$"), _stopping("go on"):
        signal.raise_signal(signal.SIGTERM)


def test_a_full_disk_ends_a_search(monkeypatch):
    def full(*_):
        try:
            raise OSError(28, "No space left on device")
        except OSError:
            raise TrainingError("robometa resume s/trials/0000 would train beyond the rung") from None

    monkeypatch.setattr(work, "_train", full)
    working = Searching(suites.load("tiny.toml"), Budget(120.0, "steps"), ("return",))
    with pytest.raises(
        TrainingError, match=r"s/trials/0000 cannot be written \(No space left on device\): make room there"
    ):
        working.result(an_order())


@pytest.mark.parametrize(
    ("name", "table", "said"),
    [
        ("first_order", {"low": 0, "high": 1}, "is no number: it needs choices"),
        ("optimizer", {"low": 0, "high": 1}, "unknown option"),
        ("discount", {"low": 0.5, "high": 10**400}, "numbers of at most"),
        ("discount", {"low": 0.5, "high": float("inf")}, "numbers of at most"),
        ("discount", {"low": True, "high": 2}, "numbers of at most"),
        ("discount", {"choices": [float("nan")]}, "be finite"),
        ("discount", {"choices": [0.5, 0.5]}, "must differ"),
        ("discount", {"choices": [0.5] * 1000}, "a list of choices, 1 to 100"),
        ("hidden", {"width": [4, 8], "depth": [1, 10**9]}, "from 1 to 100"),
        ("hidden", {"width": [4, 8], "depth": [1.5, 2.5]}, "from 1 to 100"),
        ("hidden", {"width": [4, 10**400]}, "numbers of at most"),
    ],
)
def test_an_impossible_space_is_refused_before_anything_is_trained(name, table, said):
    with pytest.raises(UserError, match=said):
        space_of(suites.load("tiny.toml"), "maml-trpo", None, {name: table}, "[search]")


def test_names_in_figures_are_no_mathematics():
    drawn = drawing.importance({"$\\bad{": 1.0, "_first": 0.5}, "$x")
    assert drawn is not None
    assert "$\\bad{" in drawn
    assert "_first" in drawn


def test_many_trials_are_ordered_at_once():
    chain = {number: (float(number),) for number in range(5000)}
    assert order(chain) == [*reversed(range(5000))]
    front = {number: (float(number), -float(number)) for number in range(500)}
    assert order(front | {500: (-1.0, -1000.0)}) == [*reversed(range(500)), 500]
