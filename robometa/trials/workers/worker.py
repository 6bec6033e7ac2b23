"""A process that carries out orders: `python -P -m robometa.trials.workers.worker CONNECTION LIFELINE WORK BYTES`.

The arguments are descriptors that the parent passes on, and a length. The connection carries orders and answers. The
work is in shared memory. The lifeline ends when the parent does, for whatever reason, and ends this process at once.
"""

from __future__ import annotations

import os
import pickle
import signal
import sys
import threading
import time
import traceback
from multiprocessing.connection import Connection

import torch

from robometa.compute import parallel
from robometa.errors import UserError
from robometa.registry import user_file, user_objective
from robometa.trials.workers.messages import Answer, Descriptors, Failed, Ready, Work
from robometa.trials.workers.shared_memory import SharedBytes


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
    """Begins the work and answers orders."""
    try:
        user_objective.inherit()
        work: Work = pickle.loads(SharedBytes(given.work_bytes, given.work).read(given.work_bytes))
        carry_out = work.begun()
    except Exception as error:
        orders.send(Failed(_pickled(error)))
        return
    orders.send(Ready())
    while True:
        order = orders.recv()
        try:
            result = carry_out(order)
        except Exception as error:
            orders.send(Failed(_pickled(error)))
            continue
        orders.send(Answer(result, time.process_time()))


def _pickled(error: Exception) -> bytes:
    """Pickles an error with its traceback as a note, and with the line of a user's learner that raised it."""
    note = f"In a worker process:\n{''.join(traceback.format_exception(error))}"
    error.add_note(note)
    blamed = user_file.blame(error)
    try:
        vars(error)[user_file.BLAMED] = blamed
        pickled = pickle.dumps(error)
        pickle.loads(pickled)  # an error's class may need other arguments than it stores
        return pickled
    except Exception:
        plain = UserError(blamed) if blamed else RuntimeError(f"{type(error).__name__}: {error}")
        plain.add_note(note)
        return pickle.dumps(plain)


def _end_with(lifeline: int) -> None:
    """Ends this process when the lifeline ends, whatever it is computing."""
    while os.read(lifeline, 1):
        pass
    os._exit(1)


if __name__ == "__main__":
    main(Descriptors(*map(int, sys.argv[1:])))
