"""The table of results: its plan, a cell filled for real, and the page made of records."""

import dataclasses
import json
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from robometa import suites
from robometa.errors import UserError
from robometa.policies.policy_folder import load_policy
from robometa.registry.options import resolve
from robometa.reports import gap, reference_returns
from robometa.training.train import train
from robometa.training.verify import verify
from study import cards, controls, front_page, learner_pages, plan, publish, rows, table
from study import cell as filling
from study.__main__ import main

ROOT = Path(__file__).parents[2]
PLAN = """\
core_minutes = 1
shots = 1
worlds = 2
seeds = [0, 1]
long_seeds = [0]

[table.point-robot]
random = {}
no-adaptation = { iterations = 1 }
oracle = { iterations = 1 }
rl2 = { iterations = 2, tasks = 2, worlds = 2, memory_size = 4, hidden = [4] }

[long.point-robot]
rl2 = { iterations = 3, tasks = 2, worlds = 2, memory_size = 4, hidden = [4] }
"""
SHOTS, TASKS = 2, 20
REFERENCE_RETURNS = (("no-adaptation", -16), ("oracle", -6))
PAIRS = tuple((f"{name}-{seed}", float(value)) for name, value in REFERENCE_RETURNS for seed in (0, 1))


@pytest.fixture
def small(tmp_path, monkeypatch):
    """A plan in an empty folder, in which its results and runs are written."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(plan, "PLAN", tmp_path / "plan.toml")
    (tmp_path / "plan.toml").write_text(PLAN, encoding="utf-8")
    return plan.read(tmp_path / "plan.toml")


@pytest.fixture
def own_references(tmp_path, monkeypatch):
    """References that are written beside nothing else."""
    (tmp_path / "tasks").mkdir()
    monkeypatch.setattr(reference_returns, "FILE", str(tmp_path / "tasks" / "references.json"))


def cell_of(chosen, name):
    return next(cell for cell in chosen.cells if cell.name == name)


def configuration(cell):
    """All options of its training, as `run.json` has them."""
    if cell.learner in plan.UNTRAINED:
        return {}
    return dataclasses.asdict(resolve(suites.load(cell.suite), cell.learner, dict(cell.options)))


def record(cell, mean_action):
    """A record as a cell leaves it, with these mean returns. `[shot, task]`."""
    shots = len(mean_action)
    filling.write(
        cell.record,
        {
            "suite_hash": suites.load(cell.suite).content_hash,
            "options": dict(cell.options),
            "configuration": configuration(cell),
            "revision": "0123456789ab",
            "learner": cell.learner,
            "seed": cell.seed,
            "environment_steps": 2_000_000,
            "wall_seconds": 60.0,
            "processor_seconds": 90.0,
            "curve": {"steps": [1, 2], "return_0": [-2.0, -1.0]},
            "episodes_seen": list(range(shots)),
            "mean_action": mean_action,
            "exploring": mean_action,
            "random": [-20.0] * len(mean_action[0]),
        },
    )


def test_the_plan_goes_seed_by_seed_and_ends_with_the_long_runs(small):
    names = [cell.name for cell in small.cells]
    assert names[:4] == ["random-0", "no-adaptation-0", "oracle-0", "rl2-0"]
    assert names[4:8] == ["random-1", "no-adaptation-1", "oracle-1", "rl2-1"]
    assert names[8:] == ["long-rl2-0"]


def test_a_suite_may_have_a_budget_and_seeds_of_its_own(small, own_references):
    own = "\n[budget.point-robot]\ncore_minutes = 0.5\nseeds = [0, 1, 2]\n"
    plan.PLAN.write_text(PLAN + own, encoding="utf-8")
    chosen = plan.read()
    assert (small.budget("point-robot"), chosen.budget("point-robot")) == (1, 0.5)
    assert {cell.seed for cell in chosen.cells if not cell.long} == {0, 1, 2}
    assert {cell.seed for cell in chosen.cells if cell.long} == {0}
    table.write(chosen)
    assert "Trained for about 0.5 core-minutes a seed." in Path("results/README.md").read_text(encoding="utf-8")
    plan.PLAN.write_text(PLAN + own.replace("point-robot", "point-robt"), encoding="utf-8")
    with pytest.raises(UserError, match="point-robt"):
        plan.read()


def test_presets_are_a_suites_own(small):
    plan.PLAN.write_text(PLAN + '\n[presets.point-robot]\nrl2 = "lstm"\n', encoding="utf-8")
    assert {cell.preset for cell in plan.read().cells if cell.learner == "rl2"} == {"lstm"}
    plan.PLAN.write_text(PLAN + '\n[presets.half-cheetah-params]\nrl2 = "lstm"\n', encoding="utf-8")
    assert {cell.preset for cell in plan.read().cells if cell.learner == "rl2"} == {None}


@pytest.mark.parametrize("wrong", ["r12 = {}", "rl2 = { iteration = 3 }", "sb3-ppo = { stepz = 3 }"])
def test_a_plan_with_a_mistake_is_refused(tmp_path, wrong):
    path = tmp_path / "plan.toml"
    path.write_text(
        "core_minutes=1\nshots=1\nworlds=2\nseeds=[0]\nlong_seeds=[0]\n[table.point-robot]\n" + wrong + "\n[long]\n"
    )
    with pytest.raises(UserError, match="unknown"):
        plan.read(path)


def test_a_cell_is_trained_evaluated_and_written(small):
    cell = cell_of(small, "rl2-0")
    filling.fill(cell, small.shots, small.worlds)
    written = json.loads(cell.record.read_text(encoding="utf-8"))
    suite = suites.load("point-robot")
    assert written["suite_hash"] == suite.content_hash
    assert np.shape(written["mean_action"]) == (small.shots + 1, len(suite.test))
    config = written["configuration"]
    assert written["environment_steps"] == 2 * 2 * 2 * suite.horizon * (config["shots"] + 1)
    assert 0 < written["processor_seconds"] < 60
    assert written["curve"]["steps"][-1] == written["environment_steps"]
    assert written["versions"].keys() >= {"sources", "processor"}
    assert len(written["success"]) == len(written["random_success"]) == 2
    assert all(quarter < 0 for quarter in written["first_episode_quarters"])
    row = rows.row_of([cell])
    assert row.success == tuple(written["success"])
    assert f"quarters from {row.quarters[0]:.1f} to {row.quarters[1]:.1f}" in table.markdown("point-robot", [row])
    assert (cell.run / "policy" / "report.json").is_file()
    assert cell.done()


def test_learning_from_scratch_is_a_cell_like_any_other(small, own_references):
    cell = plan.Cell("point-robot", "sb3-ppo", 0, (("steps", (40, 80)), ("tasks", 1)))
    filling.fill(cell, small.shots, small.worlds)
    written = json.loads(cell.record.read_text(encoding="utf-8"))
    assert np.shape(written["mean_action"]) == (3, 1)  # untrained, and after each number of steps
    assert written["environment_steps"] == 120
    assert written["steps_seen"] == [0, 40, 80]
    row = rows.row_of([cell])
    assert "| `sb3-ppo` (1 of 20 tasks) | 1/1 |" in table.markdown("point-robot", [row])


def test_the_page_says_what_the_records_say_and_what_is_missing(small, own_references):
    record(cell_of(small, "random-0"), [[-20.0] * TASKS] * SHOTS)
    for seed in (0, 1):
        record(cell_of(small, f"no-adaptation-{seed}"), [[-16.0] * TASKS] * SHOTS)
        record(cell_of(small, f"oracle-{seed}"), [[-6.0] * TASKS] * SHOTS)
    record(cell_of(small, "rl2-0"), [[-11.0] * TASKS, [-8.0] * TASKS])
    record(cell_of(small, "long-rl2-0"), [[-9.0] * TASKS, [-7.0] * TASKS])
    table.write(small)
    page = (plan.RESULTS / "README.md").read_text(encoding="utf-8")
    rl2 = next(line for line in page.splitlines() if line.startswith("| `rl2`"))
    # (-8 - -16) / (-6 - -16) = 80 %
    returns, gaps = "-11.0 first episode | -8.0 | -11.0, -8.0 | 0, 1 | \N{EN DASH}", " | ".join(["80%; 80%"] * 3)
    assert f"| 1/2 | {returns} | {gaps} | 2.00M | 8.0M | 1.0 | 1.5 | not recorded |" in rl2
    for name in ("oracle", "no-adaptation"):
        assert "| reference | reference | reference |" in next(
            x for x in page.splitlines() if x.startswith(f"| `{name}`")
        )
    assert "- seeds 1: `random`, `rl2`\n" in page
    assert "One long run" in page
    assert (plan.RESULTS / "point-robot.png").is_file()
    found = reference_returns.find(suites.load("point-robot").content_hash)
    assert found.unadapted.both_means().tolist() == [-16.0, -16.0]
    assert found.oracle.both_means().tolist() == [-6.0, -6.0]
    assert (found.tasks, found.random) == (TASKS, -20.0)


def test_the_front_page_has_the_table_between_its_marks(small, own_references, tmp_path):
    record(cell_of(small, "random-0"), [[-20.0] * TASKS] * SHOTS)
    both = [(name, (value, value)) for name, value in PAIRS]
    for name, values in (*both, ("rl2-0", (-11, -8))):
        record(cell_of(small, name), [[float(value)] * TASKS for value in values])
    begin = front_page.BEGIN.format(suite="point-robot")
    for learner, iterations in (("oracle", 1), ("no-adaptation", 7)):
        training = tmp_path / "policies" / f"point-robot-{learner}" / "training"
        training.mkdir(parents=True)
        asked = {"suite_hash": suites.load("point-robot").content_hash, "config": {"iterations": iterations}}
        (training / "run.json").write_text(json.dumps(asked), encoding="utf-8")
    front_page.PAGE.write_text(f"before\n{begin}old\n{front_page.END}after\n", encoding="utf-8")
    table.write(small)
    page = front_page.PAGE.read_text(encoding="utf-8")
    assert page.startswith(f"before\n{begin}| learner | before or first episode | after one shot | gap closed |")
    assert page.endswith(f"{front_page.END}after\n")
    assert "old" not in page
    names = [line.split(" | ")[0] for line in page.splitlines() if line.startswith("| ")]
    # only the oracle's policy was trained with the plan's options
    assert names[2:] == ["| [oracle](policies/point-robot-oracle/README.md)", "| rl2", "| no-adaptation"]
    assert "| rl2 | -11.0 first episode | **-8.0**, 1 episode | 80% |" in page
    table.write(small)
    assert front_page.PAGE.read_text(encoding="utf-8") == page
    front_page.PAGE.write_text("no marks\n", encoding="utf-8")
    table.write(small)
    assert front_page.PAGE.read_text(encoding="utf-8") == "no marks\n"


def test_the_published_front_page_and_results_say_what_the_records_say():
    """Without `make results` having been run, a record that came in would leave the pages behind."""
    suite = "half-cheetah-velocity"
    text = front_page.PAGE.read_text(encoding="utf-8")
    both = [cell for cell in plan.read().cells if cell.suite == suite]
    cells = [cell for cell in both if not cell.long]
    learners = dict.fromkeys(cell.learner for cell in cells)
    known = [rows.row_of([cell for cell in cells if cell.learner == learner]) for learner in learners]
    done = [row for row in known if row is not None]
    options = {cell.learner: cell.plain_options() for cell in cells}
    shown = text.partition(front_page.BEGIN.format(suite=suite))[2].partition(front_page.END)[0]
    assert shown == front_page.markdown(suite, done, options)
    results = (plan.RESULTS / "README.md").read_text(encoding="utf-8")
    long = [row for cell in both if cell.long and (row := rows.row_of([cell])) is not None]
    assert table.markdown(suite, done) in results
    assert table.markdown(suite, long) in results


def test_what_was_measured_on_some_of_the_tasks_is_not_on_the_front_page(small, own_references):
    record(cell_of(small, "rl2-0"), [[-11.0] * 3] * SHOTS)
    assert "rl2" not in front_page.markdown("point-robot", [rows.row_of([cell_of(small, "rl2-0")])], {"rl2": {}})


def test_the_published_learner_pages_say_what_the_records_say():
    chosen = plan.read()
    pages = {page.stem: page.read_text(encoding="utf-8") for page in learner_pages.PAGES.glob("*.md")}
    assert {name: learner_pages.filled(text, chosen) for name, text in pages.items()} == pages
    marked = "".join(pages.values())
    for learner in {cell.learner for cell in chosen.cells}:
        assert marked.count(learner_pages.BEGIN.format(learner=learner)) == 1


def test_a_learner_page_has_every_suite_and_the_long_runs(small, own_references, tmp_path):
    for name, values in (("rl2-0", (-11, -8)), ("long-rl2-0", (-9, -7))):
        record(cell_of(small, name), [[float(value)] * TASKS for value in values])
    begin = learner_pages.BEGIN.format(learner="rl2")
    page = tmp_path / learner_pages.PAGES / "rl2.md"
    page.parent.mkdir(parents=True)
    page.write_text(f"before\n{begin}old\n{learner_pages.END}after\n", encoding="utf-8")
    table.write(small)
    text = page.read_text(encoding="utf-8")
    assert text.startswith(f"before\n{begin}| suite |")
    assert text.endswith(f"{learner_pages.END}after\n")
    assert "| point-robot | 1/2 | -11.0 first episode | -8.0 | -8.0 | 0, 1, 1 |" in text
    assert "| point-robot, one long run | 1/1 | -9.0 first episode |" in text


def test_the_control_of_a_published_policy_is_of_rows_that_were_trained_as_it_was(small, own_references, monkeypatch):
    for name in ("rl2-0", "long-rl2-0"):
        record(cell_of(small, name), [[-9.0] * TASKS] * SHOTS)
    known = {"tasks": TASKS, "after_minus_control": {"mean": 1.5, "low": 1.0, "high": 2.0}}
    monkeypatch.setattr(controls, "read", lambda suite: {"rl2": known, "rl2-long": known})
    written, trained = {"suite_hash": suites.load("point-robot").content_hash}, configuration(cell_of(small, "rl2-0"))
    for policy in ("rl2", "rl2-long"):  # both as the short row was
        folder = controls.POLICIES / f"point-robot-{policy}" / "training"
        folder.mkdir(parents=True)
        (folder / "run.json").write_text(json.dumps(written | {"config": trained}), encoding="utf-8")
    short, long = (rows.row_of([cell_of(small, name)]) for name in ("rl2-0", "long-rl2-0"))
    assert rows.gain(short) == "+1.5 [+1.0, +2.0] (one policy)"
    assert rows.gain(long) == "\N{EN DASH}"


def test_the_published_results_page_begins_as_it_would_be_written_now():
    chosen = plan.read()
    head = table.HEAD.format(
        budget=chosen.core_minutes,
        half=chosen.core_minutes / 2,
        worlds=chosen.worlds,
        telling=gap.TELLING,
        errors=gap.STANDARD_ERRORS,
    )
    assert (plan.RESULTS / "README.md").read_text(encoding="utf-8").startswith(head)


def test_the_interval_is_over_seeds(small):
    for seed, value in ((0, -10.0), (1, -12.0)):
        record(cell_of(small, f"rl2-{seed}"), [[value] * TASKS] * SHOTS)
    row = rows.row_of([cell_of(small, "rl2-0"), cell_of(small, "rl2-1")])
    middle, low, high = row.mean_action[0]
    # a seed is one draw for all tasks: in 2000 draws of two, both are the same one often enough
    assert (low, middle, high) == pytest.approx((-12.0, -11.0, -10.0))
    assert row.seeds == (0, 1)


def test_a_gap_is_told_where_the_tasks_are_those_of_the_oracle(small, own_references):
    for name, value in (*PAIRS, ("random-0", -20.0)):
        record(cell_of(small, name), [[value] * TASKS] * SHOTS)
    table.write(small)
    record(cell_of(small, "rl2-0"), [[-11.0] * TASKS] * SHOTS)
    assert "50%" in table.markdown("point-robot", [rows.row_of([cell_of(small, "rl2-0")])])
    few = [[-11.0] * 3] * SHOTS
    written = json.loads(cell_of(small, "rl2-0").record.read_text(encoding="utf-8"))
    filling.write(cell_of(small, "rl2-0").record, written | {"mean_action": few, "exploring": few, "random": few[0]})
    page = table.markdown("point-robot", [rows.row_of([cell_of(small, "rl2-0")])])
    assert "(3 of 20 tasks)" in page
    assert "%" not in page


def test_random_actions_are_shown_as_they_are(small):
    record(cell_of(small, "random-0"), [[-15.0] * TASKS] * SHOTS)
    written = json.loads(cell_of(small, "random-0").record.read_text(encoding="utf-8"))
    filling.write(cell_of(small, "random-0").record, written | {"exploring": [[-20.0] * TASKS] * SHOTS})
    assert rows.row_of([cell_of(small, "random-0")]).mean_action[0][0] == pytest.approx(-20.0)


def test_a_record_of_other_options_or_of_another_suite_does_not_count(small):
    cell = cell_of(small, "rl2-0")
    record(cell, [[-11.0] * TASKS] * SHOTS)
    assert cell.done()
    written = json.loads(cell.record.read_text(encoding="utf-8"))
    trained = written["configuration"]
    another_default = trained | {"learning_rate": 0.7}
    before_an_option = {name: value for name, value in trained.items() if name != "blind"}
    for change in (
        {"options": {"iterations": 3}},
        {"suite_hash": "another"},
        {"configuration": another_default},
        {"configuration": {}},
    ):
        filling.write(cell.record, written | change)
        assert not cell.done()
    for same in ({}, {"configuration": before_an_option}):  # whose class default is what was done before it
        filling.write(cell.record, written | same)
        assert cell.done()


@pytest.mark.parametrize("jobs", ["0", "-1", "many"])
def test_a_table_needs_somebody_to_fill_it(small, capsys, jobs):
    with pytest.raises(SystemExit):
        main(["--jobs", jobs])
    assert jobs in capsys.readouterr().err


def test_a_run_that_was_begun_with_other_options_is_not_gone_on_with(small):
    cell = cell_of(small, "rl2-0")
    filling.fill(cell, small.shots, small.worlds)
    other = dataclasses.replace(cell, options=(*cell.options[1:], ("iterations", 9)))
    with pytest.raises(UserError, match="other options"):
        filling.fill(other, small.shots, small.worlds)


def test_only_what_is_missing_is_run(small, own_references, capfd):
    for cell in small.cells:
        if cell.name != "rl2-1":
            record(cell, [[-11.0] * TASKS] * SHOTS)
    assert main(["--table"]) == 0
    assert "9 cells, 1 missing" in capfd.readouterr().out
    untouched = {cell.name: cell.record.stat().st_mtime_ns for cell in small.cells if cell.done()}
    assert main(["--only", "random", "--jobs", "1"]) == 0  # there is nothing to do
    assert untouched == {cell.name: cell.record.stat().st_mtime_ns for cell in small.cells if cell.done()}


def test_a_learner_or_suite_that_the_plan_lacks_is_told(small, monkeypatch, capsys):
    assert main(["--only", "random", "nope"]) == 2
    assert "unknown learner 'nope'" in capsys.readouterr().err
    assert main(["--suite", "moon"]) == 2
    assert "known: point-robot" in capsys.readouterr().err
    monkeypatch.setattr(plan, "read", lambda: small)
    with pytest.raises(SystemExit):
        publish.main(["--suite", "point-robot", "--only", "nope"])
    assert "unknown learner 'nope'" in capsys.readouterr().err


def test_the_folder_of_a_run_is_left_out_of_its_command():
    words = '"command": "robometa train point-robot rl2{} --seed 1"'
    for folder in (" --folder /mine/run", " --folder '/my own/run'"):
        assert publish.FOLDER.sub("", words.format(folder)) == words.format("")
    assert publish.FOLDER.sub("", words.format("")[:-1] + ' --folder x"') == words.format("")


def test_the_best_policy_by_its_training_is_published(small, monkeypatch):
    cells = [cell_of(small, "rl2-0"), cell_of(small, "rl2-1")]
    for cell, last in zip(cells, (-9.0, -4.0), strict=True):
        filling.fill(cell, small.shots, small.worlds)
        written = json.loads(cell.record.read_text(encoding="utf-8"))
        written["curve"] = {"steps": [1], "return_0": [-1.0], "return_1": [last]}  # what counts is after adaptation
        filling.write(cell.record, written)
    drawn = []
    monkeypatch.setattr(publish, "record", lambda policy, **options: drawn.append((policy, options["out"])))
    monkeypatch.setattr(plan, "read", lambda: small)
    publish.main(["--suite", "point-robot"])
    there = publish.POLICIES / "point-robot-rl2"
    assert drawn == [(there, publish.VIDEOS / "point-robot-rl2.mp4")]
    for name in ("tensors.safetensors", "report.json"):
        assert (there / name).read_bytes() == (cells[1].run / "policy" / name).read_bytes()
    assert "best of 2 seeds by training return" in (there / "README.md").read_text(encoding="utf-8")
    assert load_policy(there)[2].training.chosen_from == 2
    assert (there / "training" / "metrics.jsonl").is_file()
    publish.main(["--suite", "point-robot"])  # what is there stays
    publish.main(["--suite", "point-robot", "--only", "oracle", "--replace"])
    assert len(drawn) == 1
    publish.main(["--suite", "point-robot", "--only", "rl2", "--replace"])
    assert len(drawn) == 2


def test_one_run_is_published_once_it_is_measured(small, monkeypatch):
    cell = cell_of(small, "rl2-0")
    filling.fill(cell, small.shots, small.worlds)
    drawn = []
    monkeypatch.setattr(publish, "record", lambda policy, **options: drawn.append(options["out"]))
    report = cell.run / "policy" / "report.json"
    measured = report.read_bytes()
    report.unlink()
    with pytest.raises(SystemExit, match="has no report: robometa evaluate"):
        publish.main(["--run", str(cell.run)])
    report.write_bytes(measured)
    publish.main(["--run", str(cell.run)])
    assert drawn == [publish.VIDEOS / "point-robot-rl2.mp4"]
    assert load_policy(publish.POLICIES / "point-robot-rl2")[2].training.chosen_from == 0
    with pytest.raises(SystemExit, match="stands there already"):
        publish.main(["--run", str(cell.run)])
    # A run that started from it names it where it stands now, not where it was.
    options = json.loads((cell.run / "run.json").read_text(encoding="utf-8"))["config"] | {"iterations": 1}
    train("point-robot", "rl2", options=options, start_from=cell.run / "policy", folder="next", loggers=())
    publish.publish(Path("next"), publish.POLICIES / "next", 0)
    there = str(publish.POLICIES / "point-robot-rl2")
    log = json.loads((publish.POLICIES / "next" / "training" / "run.json").read_text(encoding="utf-8"))
    assert log["started_from"]["policy"] == there
    assert load_policy(publish.POLICIES / "next")[2].training.started_from.policy == there
    assert publish.START.sub(" HERE", "train x --start-from /a/b --log none") == "train x HERE --log none"
    assert verify(publish.POLICIES / "next", iterations=1).parted is None
    shutil.rmtree(there)
    with pytest.raises(SystemExit, match="is not published: publish that first"):
        publish.publish(Path("next"), publish.POLICIES / "again", 0)


@pytest.mark.slow
def test_a_long_run_has_a_policy_of_its_own_and_a_worse_one_replaces_none(small, monkeypatch, capsys):
    curve = {"steps": [1], "return_0": [-1.0]}
    for name, last in (("rl2-0", -4.0), ("rl2-1", -9.0), ("long-rl2-0", -1.0), ("random-0", 0.0)):
        cell = cell_of(small, name)
        filling.fill(cell, small.shots, small.worlds)
        written = json.loads(cell.record.read_text(encoding="utf-8"))
        filling.write(cell.record, written | {"curve": curve | {"return_1": [last]}})
    monkeypatch.setattr(publish, "record", lambda policy, **options: None)
    monkeypatch.setattr(plan, "read", lambda: small)
    publish.main(["--suite", "point-robot"])
    assert sorted(path.name for path in publish.POLICIES.iterdir()) == ["point-robot-rl2", "point-robot-rl2-long"]
    there = (publish.POLICIES / "point-robot-rl2" / "README.md").read_bytes()
    assert b"best of 2 seeds" in there
    alone = publish.POLICIES / "point-robot-rl2-long" / "README.md"
    assert b"best of" not in alone.read_bytes()
    shutil.rmtree(cell_of(small, "rl2-0").run)
    publish.main(["--suite", "point-robot", "--replace"])
    assert "point-robot-rl2: the best is rl2-0, whose run folder is not here" in capsys.readouterr().out
    assert (publish.POLICIES / "point-robot-rl2" / "README.md").read_bytes() == there


@pytest.mark.parametrize(("oracle", "how"), [(-6.0, "hardly"), (-7.0, "no")])
def test_where_the_oracle_is_hardly_better_the_page_says_so(small, own_references, oracle, how):
    for name, value in (("no-adaptation-0", -6.5), ("oracle-0", oracle), ("random-0", -20.0), ("rl2-0", -4.0)):
        record(cell_of(small, name), [[value] * TASKS] * SHOTS)
    table.write(small)
    page = (plan.RESULTS / "README.md").read_text(encoding="utf-8")
    assert f"No gap is reported: the oracle is {how} better than not adapting." in page
    rows = [line for line in page.partition("## point-robot")[2].splitlines() if line.startswith("|")]
    assert len(rows) > 4
    assert not any("%" in row for row in rows)


def test_records_that_are_written_anew_do_not_make_the_code_another(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("robometa/code.py", "tasks/suite.toml", "tasks/references.json", "results/rl2-0.json"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("before", encoding="utf-8")
    assert filling.revision() is None
    person = ("-c", "user.name=nobody", "-c", "user.email=nobody@example.org")
    for words in (("init",), ("add", "."), (*person, "commit", "-m", "all")):
        subprocess.run(["git", *words], check=True, capture_output=True)
    clean = filling.revision()
    for name in ("results/rl2-0.json", "tasks/references.json"):
        (tmp_path / name).write_text("after", encoding="utf-8")
    (tmp_path / "new").touch()
    assert filling.revision() == clean
    assert len(clean) == 12
    (tmp_path / "tasks/suite.toml").write_text("after", encoding="utf-8")
    assert filling.revision() == f"{clean}-dirty"


def test_the_page_says_which_cells_no_commit_can_fill_again(small, own_references, monkeypatch):
    for name, revision in (("rl2-0", "0123456789ab-dirty"), ("rl2-1", None), ("oracle-0", "0123456789ab")):
        record(cell_of(small, name), [[-8.0] * TASKS] * SHOTS)
        written = cell_of(small, name).result()
        filling.write(cell_of(small, name).record, written | {"revision": revision})
    table.write(small)
    page = (plan.RESULTS / "README.md").read_text(encoding="utf-8")
    assert "uncommitted or unrecorded code: `rl2-0`, `rl2-1`.\n" in page
    assert "not in the history" not in page  # outside of a checkout nobody knows
    monkeypatch.setattr(table, "history", lambda: ["0123456789abcdef", "fedcba"])
    assert "not in the history" not in table.untraced(list(small.cells))
    monkeypatch.setattr(table, "history", lambda: ["fedcba"])
    assert "code that is not in the history: `oracle-0`.\n" in table.untraced(list(small.cells))


def test_those_from_scratch_stand_beside_the_others_on_their_tasks(small, own_references):
    for name, value in (("no-adaptation-0", -16.0), ("oracle-0", -6.0), ("random-0", -20.0)):
        record(cell_of(small, name), [[value] * TASKS] * SHOTS)
    # better on the tasks that the other was not measured on
    record(cell_of(small, "rl2-0"), [[-12.0] * 3 + [-8.0] * (TASKS - 3)] * SHOTS)
    scratch = plan.Cell("point-robot", "sb3-ppo", 0, (("steps", (40,)), ("tasks", 3)))
    record(scratch, [[-20.0] * 3, [-7.0] * 3])
    chosen = dataclasses.replace(small, cells=(*small.cells, scratch))
    table.write(chosen)
    whole, _, same = (plan.RESULTS / "README.md").read_text(encoding="utf-8").partition("### All on the first 3 ")
    names = [[line.split(" | ")[0] for line in page.splitlines() if line.startswith("| `")] for page in (whole, same)]
    some = " (3 of 20 tasks)"
    assert names[0] == ["| `oracle`", "| `rl2`", "| `no-adaptation`", "| `random`", f"| `sb3-ppo`{some}"]
    learners = ["oracle", "sb3-ppo", "rl2", "no-adaptation", "random"]
    assert names[1][:5] == [f"| `{name}`{some}" for name in learners]
    assert f"| `rl2`{some} | 1/2 | -12.0 first episode | -12.0 |" in same


def test_without_random_actions_nothing_is_said_of_the_oracle(small, own_references):
    for name, value in (("no-adaptation-0", -16.0), ("oracle-0", -6.0)):
        record(cell_of(small, name), [[value] * TASKS] * SHOTS)
    table.write(small)
    assert "No gap is reported" not in (plan.RESULTS / "README.md").read_text(encoding="utf-8")


def test_a_report_of_earlier_times_is_brought_into_todays_form(tmp_path):
    shot = {"interquartile_mean": -1.0, "low": -2.0, "high": 0.0, "mean": -1.0, "success": 0.9, "success_at_end": 0.2}
    row = {"shot": 0, "episodes_seen": 0, "mean_action": dict(shot), "exploring": dict(shot), "gap_closed": 0.5}
    old = {"shots": [row], "random": {"interquartile_mean": -3.0, "low": None, "high": None}}
    new = cards.upgraded(old, "rl2")
    assert new["shots"][0]["label"] == "first episode"
    assert (new["shots"][0]["mean_action"]["success"], new["shots"][0]["mean_action"]["success_any_step"]) == (0.2, 0.9)
    assert "gap_closed" not in new["shots"][0]
    assert new["random"]["success"] is None
    assert cards.upgraded(new, "rl2") == new
    (tmp_path / "tasks.csv").write_bytes(b"task,return,success,success_at_end\r\n0,1.5,1,0\r\n")
    again = cards.renamed(tmp_path / "tasks.csv")
    assert again == "task,return,success_any_step,success\r\n0,1.5,1,0\r\n"
    (tmp_path / "tasks.csv").write_bytes(again.encode())
    assert cards.renamed(tmp_path / "tasks.csv") == again


def test_the_published_cards_are_those_of_their_reports(tmp_path, capsys):
    """The template and a card drift apart unless `python -m study.cards` is run."""
    name = "half-cheetah-velocity-anil"
    shutil.copytree(cards.POLICIES / name, tmp_path / name)
    cards.rewrite(tmp_path / name, 3)
    for file in ("README.md", "report.json", "tasks.csv", "manifest.json"):
        assert (tmp_path / name / file).read_bytes() == (cards.POLICIES / name / file).read_bytes(), file


def test_a_card_has_the_costs_that_the_log_has_and_no_others(tmp_path):
    _, _, manifest = load_policy(ROOT / "policies/half-cheetah-velocity-rl2")
    training = dataclasses.replace(manifest.training, core_minutes=None, gradient_samples=None)
    log = tmp_path / "training"
    shutil.copytree(ROOT / "policies/half-cheetah-velocity-rl2/training", log)
    known = cards.with_costs(training, manifest, log)
    assert known.core_minutes == pytest.approx(20.1, abs=0.05)
    assert known.gradient_samples == 4 * training.environment_steps  # epochs
    run = json.loads((log / "run.json").read_text(encoding="utf-8"))
    (log / "run.json").write_text(json.dumps(run | {"device": "cuda"}), encoding="utf-8")
    assert cards.with_costs(training, manifest, log).core_minutes is None
    other = dataclasses.replace(manifest, suite="hopper-params")  # episodes may end early there
    assert cards.with_costs(training, other, log).gradient_samples is None
    assert cards.with_costs(training, manifest, tmp_path) == training
