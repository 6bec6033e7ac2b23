"""Records a video of an adaptation: one task before any data, after one shot and after the last, side by side."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np

from robometa import registry
from robometa.errors import UserError
from robometa.evaluation.scripted_experts import NAME, Scripted, needs_experts
from robometa.learners.protocol import Learner
from robometa.noise import Noise
from robometa.progress import progress
from robometa.sim.engine import Engine
from robometa.storage import atomic
from robometa.storage.paths import unwritable
from robometa.storage.scratch import scratch
from robometa.suites.suite import Suite
from robometa.suites.task import Task
from robometa.training.load import newest
from robometa.trials import make
from robometa.trials.trial import Shot, collect, trial_loop
from robometa.video import encode, film, gl_backends, storyboard
from robometa.video.recording import Recording
from robometa.video.storyboard import Episode
from robometa.video.targets import targets

MAXIMUM_SHOTS = 1000
ALONE = "an episode"
"""Title of the episode of a policy that does not adapt."""
SMALLEST, LARGEST = (480, 240), (3840, 2160)


def record(
    policy: str | Path,
    *,
    suite: Suite | None = None,
    split: str = "test",
    task: int = 0,
    shots: int = 2,
    seed: int = 0,
    out: str | Path | None = None,
    width: int = 1280,
    height: int = 480,
    gif: bool = True,
    learner: str | None = None,
) -> Recording:
    """Records how a policy adapts to one task.

    Each panel shows one episode with mean actions, all from the same reset: before any data, after the first shot (an
    adaptation) and after the last. The episodes in between, from which the policy learns, are not shown. If all three
    are equal, as those of a policy that does not adapt are, one is shown.

    Args:
        policy: Its folder, or a run's for the newest, or `scripted` for Meta-World's experts, which do not adapt
            and are shown in one episode.
        suite: Another suite than the training's, with the same observation and action.
        split: `test` for held-out tasks, `train` for those of the training.
        task: Index of the task in its split.
        shots: Adaptations; 0 shows the first episode alone.
        seed: Seed of resets and exploration.
        out: The file to write, `.mp4`, or `.gif` for a GIF only; `videos/POLICY-taskN.mp4` if None.
        width: Width in pixels, rounded down to an even number.
        height: Height in pixels, rounded down to an even number.
        gif: Write a GIF beside the `.mp4`.
        learner: `FILE.py:CLASS`, for a policy of your own learner.

    Returns:
        The files written: a tuple of paths that a notebook shows as a video.

    Raises:
        UserError: If the policy, a number or the file to write is wrong, or nothing can draw here.
    """
    policy = Path(policy)
    if not 0 <= shots <= MAXIMUM_SHOTS:
        raise UserError(f"shots must be from 0 to {MAXIMUM_SHOTS}, not {shots}")
    for name, value, low, high in zip(("width", "height"), (width, height), SMALLEST, LARGEST, strict=True):
        if not low <= value <= high:
            raise UserError(f"{name} must be from {low} to {high} pixels, not {value}")
    scripted = is_scripted(policy)
    if scripted:
        suite, label, shots = _scripted_suite(suite), "scripted expert", 0
        policy = Path(f"{policy}-{suite.name.replace('/', '-')}")
    else:
        source = newest(policy)
        trained, suite, manifest = source.load(suite, learner=learner, command="record")
        label = registry.label(manifest.learner)
    count = len(suite.tasks(split))
    if not 0 <= task < count:
        raise UserError(f"no task {task} in the {split} split of {suite.name}: its tasks are 0 to {count - 1}")
    files = targets(policy, task, None if out is None else Path(out), gif)
    backend = gl_backends.find()
    encode.ffmpeg()
    if scripted:
        trained = Scripted([suite.tasks(split)[task]])
    episodes = play(trained, suite, split, task, shots, seed)
    drawn = storyboard.film(
        suite,
        suite.tasks(split)[task],
        episodes,
        where=f"{'held-out' if split == 'test' else 'training'} task {task}",
        learner=label,
        size=(width // 2 * 2, height // 2 * 2),
        gif=any(path.suffix == ".gif" for path in files),
    )
    with scratch() as job:
        film.write(drawn, job)
        film.write_model(storyboard.subject(suite, suite.tasks(split)[task]).dressed(), job)
        with progress() as bar:
            counter = bar.add_task("drawing", total=len(drawn.times) + drawn.hold)
            gl_backends.draw(job, backend, lambda: bar.advance(counter))
        files[0].parent.mkdir(exist_ok=True)
        for path in files:
            publish(job / f"film{path.suffix}", path)
    return Recording(files)


def is_scripted(policy: Path) -> bool:
    """Tests if a policy names Meta-World's scripted experts and not a folder."""
    return str(policy) == NAME and not policy.exists()


def _scripted_suite(suite: Suite | None) -> Suite:
    """Returns the suite if it has scripted experts.

    Raises:
        UserError: If there is none, or its tasks are not Meta-World's.
    """
    if suite is None:
        raise UserError("the scripted experts need a suite, as in `robometa record scripted --suite ml1/reach-v3`")
    needs_experts(suite)
    return suite


def play(learner: Learner, suite: Suite, split: str, task: int, shots: int, seed: int) -> list[Episode]:
    """Plays a trial on a task, and records an episode before the first shot, after it and after the last.

    Args:
        learner: Acts and adapts; it is not changed.
        suite: The suite of the task.
        split: `test` or `train`.
        task: Index of the task in its split.
        shots: Adaptations; 0 shows the first episode alone.
        seed: Seed of resets and exploration.

    Returns:
        The recorded episodes, all from the same reset; one if all are equal.
    """
    worlds = learner.config.worlds if learner.pools_worlds else 1
    shown = sorted({0, min(1, shots), shots})
    noise = Noise(seed, ("record", split, task), 1, worlds)
    episodes: list[Episode] = []
    episodes_seen = 0
    with closing(make.engine_for(learner, suite, 1, worlds)) as engine, progress() as bar:
        engine.assign([suite.tasks(split)[task]])
        counter = bar.add_task("rolling out", total=(shots + len(shown)) * suite.horizon)
        advance = lambda: bar.advance(counter)  # noqa: E731
        for shot in trial_loop(learner, noise, shots):
            if shot.number in shown:
                before = "first episode" if learner.adapts_within_episode else "before adaptation"
                title = _title(shot.number, episodes_seen, before)
                episodes.append(
                    _filmed(engine, learner, shot, noise.fork("shown"), suite.tasks(split)[task], title, advance)
                )
            if shot.number < shots:
                rollout, adaptation = collect(
                    engine,
                    learner,
                    shot.adaptation,
                    shot.noise,
                    previous=shot.previous,
                    place=shot.place,
                    watch=lambda time: advance(),
                )
                shot.complete(rollout, adaptation)
                episodes_seen += int(rollout.done.sum())
    if all(np.array_equal(episode.physics, episodes[0].physics) for episode in episodes):
        return [replace(episodes[0], title=ALONE)]
    return episodes


def _filmed(
    engine: Engine, learner: Learner, shot: Shot, noise: Noise, shown: Task, title: str, advance: Callable[[], None]
) -> Episode:
    """Records the first episode of the first world, with mean actions; nothing of it is adapted to."""
    physics, sensors, tasks = [], [], []

    def watch(time: int) -> None:
        state = engine.state()
        tasks.append(engine.in_force[0])
        physics.append(state.physics[0, 0])
        sensors.append(state.sensors[0, 0])
        advance()

    rollout, _ = collect(
        engine, learner, shot.adaptation, noise, explore=False, previous=shot.previous, place=shot.place, watch=watch
    )
    # The state after the episode's last step is the next reset's.
    length = int(rollout.first_episode()[0, 0].sum())
    return Episode(
        title=title,
        physics=np.stack(physics[:length]),
        sensors=np.stack(sensors[:length]),
        rewards=rollout.observed_reward()[0, 0, :length].double().numpy(),
        success=rollout.success[0, 0, :length].numpy(),
        early=length < engine.horizon,
        tasks=tuple(tasks[:length]) if shown.change is not None else (),
    )


def _title(shot: int, episodes: int, before: str) -> str:
    if shot == 0:
        return before
    return f"after {shot} {_plural('shot', shot)} ({episodes} {_plural('episode', episodes)})"


def _plural(word: str, count: int) -> str:
    return word if count == 1 else word + "s"


def publish(source: Path, target: Path) -> None:
    """Publishes a finished file in one rename."""
    try:
        atomic.replace_file(target, source.read_bytes())
    except OSError as error:
        raise unwritable(target, error) from None
