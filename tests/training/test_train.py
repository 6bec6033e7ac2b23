"""Training: resuming to the same bits, the same bytes for a seed, and stopping without a loss."""

import collections
import dataclasses
import json
import signal

import pytest
import torch
from conftest import OFFLINE, SMALL_OPTIONS, same_tensors

from robometa import registry
from robometa.errors import Stopped, TrainingError, UserError
from robometa.learners.random import Random
from robometa.storage import sealed_folder
from robometa.training import loop
from robometa.training.iteration import task_batch
from robometa.training.load import newest
from robometa.training.loggers.terminal import Terminal
from robometa.training.run_folder import Progress, RunFolder, Saved
from robometa.training.train import rebuilt, resume, train

LEARNERS = [name for name in registry.LEARNERS if name not in ("random", *OFFLINE)]
TRANSFORMER = {"memory": "transformer", "memory_heads": 1, "context": 8}
VARIANTS = [(name, {}) for name in LEARNERS] + [("rl2", {"memory": "lstm"}), ("rl2", TRANSFORMER)]
NEVER = 1e9
"""Minutes between checkpoints: none but when it stops."""


def trained(suite_file, learner, folder, **changes):
    """A short training in `folder`."""
    options = SMALL_OPTIONS[learner] | changes.pop("options", {})
    asked = {"options": options, "folder": folder, "checkpoint_minutes": NEVER} | changes
    return train(suite_file, learner, **asked)


def at_iteration(monkeypatch, iteration, act):
    """Does something when this iteration has just been shown, once."""
    log = Terminal.log
    done = []

    def logged(self, row):
        log(self, row)
        if row["iteration"] == iteration and not done:
            done.append(True)
            act()

    monkeypatch.setattr(Terminal, "log", logged)


def last_state(folder):
    newest = RunFolder(folder).newest_checkpoint()
    assert newest is not None
    return newest.state


def written(folder):
    """What must agree in every byte between two runs of the same."""
    return {
        "metrics": (folder / "metrics.jsonl").read_bytes(),
        "policy": (folder / "policy" / "tensors.safetensors").read_bytes(),
    }


def assert_same_run(folder, other):
    assert same_tensors(last_state(folder), last_state(other))
    assert written(folder) == written(other)


def crash():
    raise MemoryError("the machine went away")


STOPPED = [(*case, signal.SIGTERM) for case in VARIANTS]
STOPPED += [(name, {}, stop) for name in ("maml-trpo", "pearl") for stop in (signal.SIGINT, signal.SIGUSR1)]


@pytest.mark.parametrize(("learner", "options", "stop"), STOPPED)
@pytest.mark.sample(13)
def test_a_stopped_run_goes_on_as_if_it_had_never_stopped(
    tiny_file, tmp_path, monkeypatch, straight, learner, options, stop
):
    whole, stopped = straight(learner, **options), tmp_path / "stopped"
    at_iteration(monkeypatch, 1, lambda: signal.raise_signal(stop))
    with pytest.raises(Stopped, match=f"{stop.name} after 2 of 4 .*robometa resume"):
        trained(tiny_file, learner, stopped, options=options)
    assert not (stopped / "policy").exists()
    assert len(RunFolder(stopped).rows("metrics.jsonl")) == 2
    assert resume(stopped) == stopped / "policy"
    assert_same_run(whole, stopped)


@pytest.mark.parametrize(("learner", "options"), VARIANTS)
@pytest.mark.sample(7)
def test_a_run_that_broke_off_goes_on_from_its_last_checkpoint(
    tiny_file, tmp_path, monkeypatch, straight, learner, options
):
    whole, broken = straight(learner, **options), tmp_path / "broken"
    at_iteration(monkeypatch, 2, crash)
    with pytest.raises(MemoryError):
        trained(tiny_file, learner, broken, options=options, checkpoint_minutes=0.0)
    # the third iteration is in the table but in no checkpoint: it is done again
    assert len(RunFolder(broken).rows("metrics.jsonl")) == 3
    assert RunFolder(broken).newest_checkpoint().progress.iterations == 2
    resume(broken)
    assert_same_run(whole, broken)


def test_a_run_without_a_checkpoint_begins_again(tiny_file, tmp_path, monkeypatch, straight):
    whole, broken = straight("maml-trpo"), tmp_path / "broken"
    at_iteration(monkeypatch, 2, crash)
    with pytest.raises(MemoryError):
        trained(tiny_file, "maml-trpo", broken)
    resume(broken)
    assert_same_run(whole, broken)


def test_a_line_that_was_cut_short_is_taken_back(tiny_file, tmp_path, monkeypatch, straight):
    whole, broken = straight("maml-trpo"), tmp_path / "broken"
    at_iteration(monkeypatch, 1, crash)
    with pytest.raises(MemoryError):
        trained(tiny_file, "maml-trpo", broken, checkpoint_minutes=0.0)
    for name in ("metrics.jsonl", "timings.jsonl"):
        with (broken / name).open("a", encoding="utf-8") as file:
            file.write('{"iteration": 2, "ste')
    resume(broken)
    assert_same_run(whole, broken)


def test_a_damaged_checkpoint_is_passed_over(tiny_file, tmp_path, capsys, straight):
    whole, damaged = straight("maml-trpo"), tmp_path / "damaged"
    trained(tiny_file, "maml-trpo", damaged, checkpoint_minutes=0.0)
    newest = RunFolder(damaged).checkpoints()[-1]
    tensors = newest / sealed_folder.TENSORS
    tensors.write_bytes(tensors.read_bytes()[:-1])
    assert RunFolder(damaged).newest_checkpoint().progress.iterations == 3
    assert newest.name in capsys.readouterr().err
    resume(damaged)
    assert_same_run(whole, damaged)


def test_only_the_newest_checkpoints_are_kept(tiny_file, tmp_path):
    trained(tiny_file, "maml-trpo", tmp_path / "run", checkpoint_minutes=0.0)
    assert [folder.name for folder in RunFolder(tmp_path / "run").checkpoints()] == ["0000003", "0000004"]


def test_a_checkpoint_that_is_replaced_before_it_is_loaded_is_the_newer_one(tiny_file, tmp_path, capsys):
    """As by a training that goes on meanwhile."""
    run = tmp_path / "run"
    trained(tiny_file, "maml-trpo", run, options={"iterations": 1}, checkpoint_minutes=0.0)
    (run / "policy").rename(tmp_path / "away")
    source = newest(run)
    (run / "checkpoints/0000001").rename(tmp_path / "0000001")
    RunFolder(run).save_checkpoint(Saved(sealed_folder.load(tmp_path / "0000001", "checkpoint")[0], Progress(2, 2)))
    _, _, manifest = source.load(None)
    assert manifest.tensors_sha256 == sealed_folder.sha256(run / "checkpoints/0000002/tensors.safetensors")
    assert manifest.training.iterations == 2
    assert "is of 2 iterations" in capsys.readouterr().err


def test_a_finished_run_can_be_resumed_says_so_and_stays_the_same(tiny_file, tmp_path, capsys):
    trained(tiny_file, "maml-trpo", tmp_path / "run")
    assert "are done" not in capsys.readouterr().out
    before = written(tmp_path / "run")
    resume(tmp_path / "run", loggers=())  # asked to print nothing
    assert not capsys.readouterr().out
    resume(tmp_path / "run")
    assert "iterations are done: a larger number of iterations trains longer" in capsys.readouterr().out
    assert written(tmp_path / "run") == before


@pytest.mark.parametrize("learner", LEARNERS)
@pytest.mark.sample(6)
def test_a_seed_gives_the_same_bytes_with_any_number_of_threads_and_another_seed_others(
    tiny_file, tmp_path, straight, learner
):
    first, again, other = straight(learner), tmp_path / "again", tmp_path / "other"  # the first has one thread
    trained(tiny_file, learner, again, seed=0, threads=3)
    assert_same_run(first, again)
    trained(tiny_file, learner, other, seed=4)
    assert written(first)["metrics"] != written(other)["metrics"]
    assert written(first)["policy"] != written(other)["policy"]


def test_a_run_says_what_was_asked_and_what_came_out(tiny_file, tiny_suite, tmp_path):
    policy = trained(tiny_file, "maml-trpo", tmp_path / "run", seed=5)
    configuration = json.loads((tmp_path / "run" / "run.json").read_text())
    assert configuration["seed"] == 5
    assert configuration["config"]["worlds"] == 4
    assert configuration["config"]["inner_step_size"] == 0.1  # what was not asked for stands there too
    assert configuration["suite_hash"] == tiny_suite.content_hash
    assert configuration["versions"]["torch"] == torch.__version__
    assert configuration["command"]
    rows = RunFolder(tmp_path / "run").rows("metrics.jsonl")
    assert [row["iteration"] for row in rows] == [0, 1, 2, 3]
    # 3 tasks * 4 worlds * 5 steps * 2 rollouts
    assert [row["steps"] for row in rows] == [120, 240, 360, 480]
    assert {"return_0", "return_1", "success_0", "success_1", "diverged"} < rows[0].keys()
    assert list((tmp_path / "run").glob("events.*"))
    card = (policy / "README.md").read_text()
    assert tiny_suite.name in card
    assert "--seed 5 --iterations 4 --tasks 3 --worlds 4 --hidden 8" in card


def test_an_existing_folder_is_left_alone(tiny_file, tmp_path):
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "mine.txt").write_text("mine")
    with pytest.raises(UserError, match="exists already"):
        trained(tiny_file, "random", folder)
    assert [path.name for path in folder.iterdir()] == ["mine.txt"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"options": {"worldz": 3}}, "worldz.*worlds"),
        ({"options": {"worlds": 0}}, "worlds"),
        ({"preset": "papper"}, "papper"),
        ({"device": "cuda:99"}, "known: cpu"),
    ],
)
def test_a_mistake_is_told_before_anything_is_written(tiny_file, tmp_path, changes, message):
    with pytest.raises(UserError, match=message):
        trained(tiny_file, "maml-trpo", tmp_path / "run", **changes)
    assert not (tmp_path / "run").exists()


def test_a_changed_suite_is_not_gone_on_with(tiny_file, tmp_path, monkeypatch):
    at_iteration(monkeypatch, 0, lambda: signal.raise_signal(signal.SIGTERM))
    with pytest.raises(TrainingError):
        trained(tiny_file, "random", tmp_path / "run", options={"iterations": 3})
    tiny_file.write_text(tiny_file.read_text().replace("tasks = 6", "tasks = 7"))
    with pytest.raises(UserError, match="no longer the one"):
        resume(tmp_path / "run")


def test_what_is_not_a_run_cannot_be_resumed(tmp_path):
    with pytest.raises(UserError, match="no run here"):
        resume(tmp_path)
    (tmp_path / "run.json").write_text("{")
    with pytest.raises(UserError, match=r"run\.json is damaged"):
        resume(tmp_path)
    (tmp_path / "run.json").write_text("{}")
    with pytest.raises(UserError, match=r"run\.json is damaged"):
        resume(tmp_path)


@pytest.mark.parametrize(
    "key",
    [
        "suite",
        "suite_hash",
        "learner",
        "preset",
        "config",
        "seed",
        "threads",
        "torch_threads",
        "checkpoint_minutes",
    ],
)
def test_a_run_whose_description_lacks_something_cannot_be_resumed(tiny_file, tmp_path, key):
    folder = tmp_path / "run"
    trained(tiny_file, "random", folder)
    described = json.loads((folder / "run.json").read_text())
    del described[key]
    (folder / "run.json").write_text(json.dumps(described))
    with pytest.raises(UserError, match=r"run\.json is damaged"):
        resume(folder)


def test_a_run_goes_on_with_the_threads_of_torch_that_it_began_with(tiny_file, tmp_path, monkeypatch):
    threads = []
    monkeypatch.setattr(Random, "update", lambda self, trial: threads.append(torch.get_num_threads()) or {})
    at_iteration(monkeypatch, 0, lambda: signal.raise_signal(signal.SIGTERM))
    before = torch.get_num_threads()
    with pytest.raises(TrainingError):
        trained(tiny_file, "random", tmp_path / "run", torch_threads=before + 1)
    assert torch.get_num_threads() == before
    resume(tmp_path / "run")
    assert threads == [before + 1, before + 1]
    assert torch.get_num_threads() == before


def test_the_command_that_goes_on_names_another_collector_than_the_run_began_with(tiny_file, tmp_path):
    trained(tiny_file, "random", tmp_path / "run", options={"iterations": 1})
    run = RunFolder(tmp_path / "run")
    config = run.configuration()
    assert rebuilt(run, config, "random").resume_command().endswith("run")
    config = dataclasses.replace(config, hardware=dataclasses.replace(config.hardware, collect="processes:1"))
    assert rebuilt(run, config, "random", collect="here").resume_command().endswith("run --collect here")


def test_a_run_goes_on_with_its_threads_and_its_record_says_what_it_began_with(tiny_file, tmp_path, monkeypatch):
    threads, made = [], loop.collector_for
    monkeypatch.setattr("robometa.training.train.processors", lambda: 16)
    monkeypatch.setattr(
        loop, "collector_for", lambda job, *given: threads.append(job.hardware.threads) or made(job, *given)
    )
    run = tmp_path / "run"
    trained(tiny_file, "random", run, options={"iterations": 1}, threads=4)
    for end, asked in ((2, None), (3, 3)):
        resume(run, iterations=end, threads=asked)
        now, policy = (json.loads((run / name).read_text()) for name in ("run.json", "policy/manifest.json"))
        assert now["threads"] == policy["training"]["processors"] == 4
    monkeypatch.setattr("robometa.training.train.processors", lambda: 2)
    resume(run, iterations=4)
    assert threads == [4, 4, 3, 2]


def test_the_signal_handlers_are_put_back(tiny_file, tmp_path):
    before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
    trained(tiny_file, "random", tmp_path / "run")
    assert (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)) == before


def test_a_second_signal_stops_at_once(tiny_file, tmp_path, monkeypatch):
    def twice():
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)

    at_iteration(monkeypatch, 0, twice)
    with pytest.raises(KeyboardInterrupt):
        trained(tiny_file, "random", tmp_path / "run")


@pytest.mark.parametrize(("count", "tasks"), [(10, 4), (6, 6), (5, 12), (7, 3), (1, 4)])
def test_every_task_comes_up_equally_often(count, tasks):
    drawn = [index for iteration in range(count) for index in task_batch(count, tasks, seed=0, iteration=iteration)]
    assert len(drawn) == count * tasks
    # deck after deck: every stretch of `count` holds every task once
    for start in range(0, len(drawn), count):
        assert sorted(drawn[start : start + count]) == list(range(count))
    assert set(collections.Counter(drawn).values()) == {tasks}


def test_the_decks_are_shuffled_and_keyed_by_the_seed():
    decks = [tuple(task_batch(20, 20, seed=0, iteration=iteration)) for iteration in range(5)]
    assert len(set(decks)) == 5
    assert task_batch(20, 20, seed=1, iteration=0) != list(decks[0])
    assert task_batch(20, 20, seed=0, iteration=3) == list(decks[3])


@pytest.mark.parametrize("learner", LEARNERS)
@pytest.mark.sample(6)
def test_a_run_can_be_given_another_end(tiny_file, tmp_path, monkeypatch, straight, learner):
    whole, longer, shorter = straight(learner), tmp_path / "longer", tmp_path / "shorter"
    trained(tiny_file, learner, longer, options={"iterations": 2})
    resume(longer, iterations=4)
    assert_same_run(whole, longer)
    at_iteration(monkeypatch, 1, lambda: signal.raise_signal(signal.SIGTERM))
    with pytest.raises(TrainingError):
        trained(tiny_file, learner, shorter)
    with pytest.raises(UserError, match="at iteration 2 already, beyond 1"):
        resume(shorter, iterations=1)
    resume(shorter, iterations=2)
    manifest = json.loads((shorter / "policy" / "manifest.json").read_text())
    assert manifest["training"]["iterations"] == manifest["config"]["iterations"] == 2
    assert manifest["training"]["begun_for"] == 4
    assert "Started with --iterations 4" in (shorter / "policy" / "README.md").read_text()
    assert "Started with" not in (whole / "policy" / "README.md").read_text()


def test_a_resume_that_trains_nothing_keeps_description_and_policy(tiny_file, tmp_path):
    run = tmp_path / "run"
    trained(tiny_file, "random", run)
    before = [(run / name).read_bytes() for name in ("run.json", "policy/manifest.json", "policy/README.md")]
    resume(run, threads=3)
    assert [(run / name).read_bytes() for name in ("run.json", "policy/manifest.json", "policy/README.md")] == before


def test_a_checkpoint_that_does_not_fit_is_told_in_a_line(tiny_file, tmp_path):
    trained(tiny_file, "rl2", tmp_path / "run")
    told = json.loads((tmp_path / "run" / "run.json").read_text(encoding="utf-8"))
    told["config"] |= {"memory_size": 9, "iterations": 9}
    (tmp_path / "run" / "run.json").write_text(json.dumps(told), encoding="utf-8")
    with pytest.raises(UserError, match="does not fit"):
        resume(tmp_path / "run")


@pytest.mark.parametrize("config", [[], 3, None, {}, {"iterations": [4]}])
def test_a_description_without_options_is_damaged(tiny_file, tmp_path, config):
    trained(tiny_file, "maml-trpo", tmp_path / "run")
    told = json.loads((tmp_path / "run" / "run.json").read_text(encoding="utf-8")) | {"config": config}
    (tmp_path / "run" / "run.json").write_text(json.dumps(told), encoding="utf-8")
    for iterations in (None, 9):
        with pytest.raises(UserError):
            resume(tmp_path / "run", iterations=iterations)
