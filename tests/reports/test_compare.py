"""Comparisons: seeds are pooled, what differs is named, and damaged or strange files are refused or shown as text."""

import csv
import io
import json
from pathlib import Path

import numpy as np
import pytest

import robometa
from robometa.errors import UserError
from robometa.reports import pooled
from robometa.reports.compare import compare
from robometa.storage.json_lines import MAX_LISTED_BYTES
from tests.reports.comparable import OPTIONS, returns_of, write_policy, write_report

ROOT = Path(__file__).parents[2]


@pytest.fixture
def place(tmp_path, monkeypatch):
    """Three seeds of one learner, two of it with another option, and two of another learner."""
    monkeypatch.chdir(tmp_path)
    for seed in range(3):
        write_policy(tmp_path / f"rl2-{seed}", returns_of(seed), seed)
    for seed in range(2):
        write_policy(tmp_path / f"slow-{seed}", returns_of(10 + seed), seed, options=OPTIONS | {"learning_rate": 0.01})
        write_policy(tmp_path / f"pearl-{seed}", returns_of(20 + seed, better=9.0), seed, learner="pearl")
    return tmp_path


def test_seeds_of_one_learner_are_one_row(place):
    (section,) = compare("rl2-*", "pearl-*").sections
    assert [(group.label, group.seeds) for group in section.groups] == [("rl2", (0, 1, 2)), ("pearl", (0, 1))]
    pooled_ = np.concatenate([returns_of(seed)[1].ravel() for seed in range(3)])
    interval = section.groups[0].intervals[1]
    from scipy import stats  # takes a second to load

    assert interval.middle == pytest.approx(stats.trim_mean(pooled_, 0.25))
    assert interval.low < interval.middle < interval.high
    assert section.groups[0].mean("steps") == 1200
    assert section.groups[0].mean("minutes") == 1.5
    assert section.groups[0].mean("core_minutes") == pytest.approx(12 * 6 / 60)


def test_other_options_are_another_row_named_by_them(place):
    (section,) = compare("rl2-*", "slow-*").sections
    assert [group.label for group in section.groups] == ["rl2 (learning_rate 0.1)", "rl2 (learning_rate 0.01)"]
    assert section.differing() == [("learning_rate", ["0.1", "0.01"])]


def test_one_policy_has_the_numbers_of_its_report():
    policy = ROOT / "policies" / "half-cheetah-velocity-pearl"
    ((group,),) = [section.groups for section in compare(policy).sections]
    told = json.loads((policy / "report.json").read_text(encoding="utf-8"))["shots"]
    for interval, shot in zip(group.intervals, told, strict=True):
        found = [interval.middle, interval.low, interval.high]
        assert found == pytest.approx([shot["mean_action"][key] for key in ("interquartile_mean", "low", "high")])


def test_goals_of_a_task_are_pooled_as_in_its_report():
    policy = ROOT / "policies" / "ml10-rl2"
    ((group,),) = [section.groups for section in compare(policy).sections]
    told = json.loads((policy / "report.json").read_text(encoding="utf-8"))
    assert group.tasks == tuple(row["task"] for row in told["by_name"])
    shot = told["shots"][0]["mean_action"]
    found = [group.intervals[0].middle, group.intervals[0].low, group.intervals[0].high]
    assert found == pytest.approx([shot[key] for key in ("interquartile_mean", "low", "high")])
    assert group.success.middle == pytest.approx(told["shots"][-1]["mean_action"]["success"])


def test_probability_of_improvement_counts_pairs_of_seeds():
    first = np.array([[[1.0], [5.0]], [[3.0], [5.0]]])  # two seeds, two tasks
    second = np.array([[[2.0], [5.0]], [[0.0], [9.0]]])
    found = pooled.improvement(first, second)
    assert found.middle == pytest.approx(((1 + 2) / 4 + (0.5 + 0.5) / 4) / 2)
    assert found.low <= found.middle <= found.high
    assert pooled.improvement(second, first).middle == pytest.approx(1 - found.middle)
    assert pooled.improvement(first[:1, :, :1], second[:1]).low is None


def test_several_seeds_are_resampled_whole():
    seeds = np.stack([np.full((3, 2), float(seed)) for seed in (0, 0, 1)])  # no spread but between seeds
    found = pooled.interquartile(seeds)
    assert (found.low, found.high) == (0.0, 1.0)
    assert pooled.interquartile(seeds[:1]).low == 0.0


def test_a_curve_has_a_band_between_its_seeds(place):
    values = np.array([[0.0, 2.0], [1.0, 4.0]])
    middle, low, high = pooled.band(values)
    assert middle.tolist() == [0.5, 3.0]
    assert low.tolist() == [0.0, 2.0]
    assert high.tolist() == [1.0, 4.0]


def test_the_same_policy_counts_once(place):
    compared = compare("rl2-0", "rl2-0", "./rl2-0")
    assert len(compared.groups[0].entries) == 1
    (place / "copy").mkdir()
    for name in ("manifest.json", "report.json", "tasks.csv"):
        (place / "copy" / name).write_bytes((place / "rl2-0" / name).read_bytes())
    compared = compare("rl2-0", "copy")
    assert len(compared.groups[0].entries) == 1
    assert "passed over copy" in compared.notes[0]


def test_two_trainings_of_one_seed_are_told(place):
    write_policy(place / "again", returns_of(7), 0)
    assert "several trainings of seed 0" in " ".join(compare("rl2-0", "again").notes)


def test_reports_that_cannot_be_pooled_are_told(place):
    write_policy(place / "short", returns_of(7, tasks=2), 7)
    compared = compare("rl2-0", "rl2-1", "short")
    assert len(compared.groups[0].measured) == 2
    assert "short is not pooled: it is of other tasks" in " ".join(compared.notes)


def test_rows_with_some_tasks_in_common_are_compared_on_these(place):
    write_report(place / "sb3", returns_of(3, tasks=2), "sb3-sac")
    (section,) = compare("rl2-0", "sb3").sections
    ((one, other, share),) = section.improvements
    assert (one.label, other.label) == ("rl2", "sb3-sac")
    assert 0 <= share.middle <= 1


def test_a_run_without_a_policy_has_a_curve_and_no_returns(place):
    compared = compare("rl2-0/training")
    assert compared.unmeasured
    assert len(compared.groups[0].entries[0].curve.steps) == 12
    assert "not measured" in compared.table()


def test_what_is_no_run_is_passed_over_or_refused(place):
    (place / "other").mkdir()
    assert "passed over other" in compare("rl2-0", "other").notes[0]
    with pytest.raises(UserError, match=r"no run, policy or report in other$"):
        compare("other")
    (place / "other" / "mine").mkdir()
    (place / "other" / "mine" / "run.json").touch()
    with pytest.raises(UserError, match=r"no run, policy or report in other; what it holds is other/\*"):
        compare("other")
    assert compare("rl2-0", "other").notes[0].endswith("nor a report; what it holds is other/*.")
    with pytest.raises(UserError, match="no run or policy at nowhere"):
        compare("nowhere")
    with pytest.raises(UserError, match=r"nothing matches nowhere\*"):
        compare("nowhere*")
    with pytest.raises(UserError, match="nothing to compare"):
        compare()


@pytest.mark.parametrize(
    "spoil",
    [
        lambda text: text.replace("mean action,0,0", "mean action,0,1", 1),
        lambda text: text.replace("mean action,1,", "mean action,7,"),
        lambda text: text.replace("mean action,0,0", "mean action,x,0", 1),
        lambda text: text.replace("mean action,0,0", "mean action,-1,0", 1),
        lambda text: text.replace("return,success", "reward,success"),
        lambda text: text.replace("speed 0,0,", "speed 0,0,nan", 1),
        lambda text: text.partition("\n")[0] + "\n",
        lambda text: "",
        lambda text: "\0" + text,
    ],
)
def test_damaged_episodes_are_refused(place, spoil):
    path = place / "rl2-0" / "tasks.csv"
    changed = spoil(path.read_text(encoding="utf-8"))
    assert changed != path.read_text(encoding="utf-8")
    path.write_text(changed, encoding="utf-8")
    with pytest.raises(UserError, match=r"tasks\.csv"):
        compare("rl2-0")


@pytest.mark.parametrize("name", ["metrics.jsonl", "timings.jsonl"])
def test_tables_that_are_too_long_are_refused_before_they_are_read(place, name):
    with (place / "rl2-0" / "training" / name).open("ab") as file:
        file.truncate(MAX_LISTED_BYTES + 1)  # a hole, which takes no room on the disk
    with pytest.raises(UserError, match=f"{name} is too long to be read as a whole"):
        compare("rl2-0")


@pytest.mark.parametrize("name", ["report.json", "training/run.json", "manifest.json"])
@pytest.mark.parametrize("text", ["", "[]", "{", "[" * 100_000, "\udcff"])
def test_damaged_tables_are_refused(place, name, text):
    (place / "rl2-0" / name).write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(UserError):
        compare("rl2-0")


@pytest.mark.parametrize("changed", [{"shots": 3}, {"random": []}, {"shots": []}, {"seed": -1}, {"learner": 7}])
def test_a_report_of_other_kinds_of_entries_is_refused(place, changed):
    path = place / "rl2-0" / "report.json"
    path.write_text(json.dumps(json.loads(path.read_text(encoding="utf-8")) | changed), encoding="utf-8")
    with pytest.raises(UserError):
        compare("rl2-0")


@pytest.mark.parametrize("seen", [-1, 1e308])
def test_episodes_that_no_figure_can_show_are_refused(place, seen):
    path = place / "rl2-0" / "report.json"
    report = json.loads(path.read_text(encoding="utf-8"))
    report["shots"][-1]["episodes_seen"] = seen
    path.write_text(json.dumps(report), encoding="utf-8")
    with pytest.raises(UserError, match="episodes_seen must be a finite number from 0"):
        compare("rl2-0")


def test_a_learner_of_one_s_own_has_no_folder_and_a_suite_keeps_its_benchmark(place):
    write_policy(place / "own", learner="/home/someone/mine.py:Mine", suite="ml1/reach-v3")
    (entry,) = compare("own").groups[0].entries
    assert (entry.learner, entry.suite) == ("mine.py:Mine", "ml1/reach-v3")


def test_a_report_that_is_a_link_is_refused(place):
    (place / "rl2-0" / "tasks.csv").unlink()
    (place / "rl2-0" / "tasks.csv").symlink_to(place / "rl2-1" / "tasks.csv")
    with pytest.raises(UserError, match="is not a file"):
        compare("rl2-0")


def test_csv_has_every_shot_with_whole_numbers(place):
    rows = list(csv.DictReader(io.StringIO(compare("rl2-*", "pearl-*").table("csv"))))
    assert [(row["learner"], row["shot"]) for row in rows] == [
        ("rl2", "0"),
        ("rl2", "1"),
        ("pearl", "0"),
        ("pearl", "1"),
    ]
    assert float(rows[3]["return"]) == compare("pearl-*").groups[0].intervals[1].middle
    assert rows[0]["seeds"] == "0 1 2"


def test_tables_escape_names(place):
    write_policy(place / "odd", returns_of(5), learner="=a_b & 50% | <i>")
    compared = compare("odd")
    assert "'=a_b" in compared.table("csv")
    assert r"=a\_b \& 50\% | \textless{}i\textgreater{} & 0" in compared.table("latex")
    assert r"a_b &amp; 50% \| &lt;i&gt; | 0" in compared.table("markdown")
    with pytest.raises(UserError, match="unknown format 'xls'"):
        compared.table("xls")


def test_the_package_has_it():
    assert robometa.compare is compare
    assert robometa.Comparison.__name__ == "Comparison"
