"""A process that computes pieces: `python -P -m robometa.trials.collectors.worker CONNECTION LIFELINE JOB ...`.

The arguments are descriptors that the parent passes on, and lengths. The connection carries orders and answers, which
are short. Job, states and rollouts are in shared memory. The lifeline ends when the parent does, for whatever reason,
and ends this process at once.
"""

from __future__ import annotations

import os
import pickle
import signal
import sys
import threading
import time
import traceback
from dataclasses import replace
from multiprocessing.connection import Connection

import torch
from safetensors import torch as safetensors

from robometa.compute import parallel
from robometa.errors import UserError
from robometa.registry import user_file
from robometa.registry.options import read_config
from robometa.sim.engine import Divergence
from robometa.trials.collectors.collector import Job
from robometa.trials.collectors.messages import Answer, Descriptors, Failed, Order, Ready
from robometa.trials.collectors.shared_memory import Shape, SharedBytes, SharedRollouts
from robometa.trials.pieces import Piece

MAX_DIVERGENCES = 5
"""Divergences of an order that are reported: a run keeps no more dumps."""


def main(given: Descriptors) -> None:
    """Answers orders until the connection ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides what an interruption means
    threading.Thread(target=_end_with, args=(given.lifeline,), daemon=True).start()
    parallel.use_threads(1)
    torch.set_num_threads(1)
    with Connection(given.connection) as orders:
        try:
            _serve(orders, given)
        except (EOFError, ConnectionError):
            return


def _serve(orders: Connection, given: Descriptors) -> None:
    """Builds the learner and answers orders."""
    job: Job
    shape: Shape
    try:
        job, shape = pickle.loads(SharedBytes(given.job_bytes, given.job).read(given.job_bytes))
        job = replace(job, config=read_config(job.learner, job.config))
        states, rollouts = SharedBytes(given.state_capacity, given.state), SharedRollouts(shape, given.rollouts)
        learner = job.built()
        runner = job.runner(learner, replace(job.hardware, threads=1))
    except Exception as error:
        orders.send(Failed(_pickled(error)))
        return
    divergences: list[Divergence] = []
    runner.on_divergence = lambda one: divergences.append(one) if len(divergences) < MAX_DIVERGENCES else None
    orders.send(Ready())
    while True:
        order: Order = orders.recv()
        divergences.clear()
        try:
            learner.load_state_dict(safetensors.load(states.read(order.state_bytes)))
            computed = runner.run(order.batch, order.pieces)
        except Exception as error:
            orders.send(Failed(_pickled(error)))
            continue
        rollouts.write(Piece(order.pieces[0].first, sum(piece.tasks for piece in order.pieces)), computed)
        orders.send(Answer(tuple(divergences), time.process_time(), runner.apart()))


def _pickled(error: Exception) -> bytes:
    """Pickles an error with its traceback as a note; one in a user's learner becomes a mistake of the user's."""
    text, blamed = "".join(traceback.format_exception(error)), user_file.blame(error)
    error = UserError(blamed) if blamed and not isinstance(error, UserError) else error
    note = f"In a process that collects:\n{text}"
    error.add_note(note)
    try:
        pickled = pickle.dumps(error)
        pickle.loads(pickled)  # an error's class may need other arguments than it stores
        return pickled
    except Exception:
        plain = RuntimeError(f"{type(error).__name__}: {error}")
        plain.add_note(note)
        return pickle.dumps(plain)


def _end_with(lifeline: int) -> None:
    """Ends this process when the lifeline ends, whatever it is computing."""
    while os.read(lifeline, 1):
        pass
    os._exit(1)


if __name__ == "__main__":
    main(Descriptors(*map(int, sys.argv[1:])))
