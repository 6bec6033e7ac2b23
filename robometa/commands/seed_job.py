"""A job of `train --seeds`: `python -P -m robometa.commands.seed_job LIFELINE PROCESSORS WORD ...`.

The words are those of a command line. The lifeline is a descriptor; it ends when the parent does, for whatever reason,
and ends this process at once.
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading

from robometa.commands.exit_codes import AT_ONCE


def main(lifeline: int, processors: str, words: list[str]) -> int:
    """Runs a command line on some of the processors."""
    threading.Thread(target=_end_with, args=(lifeline,), daemon=True).start()
    if processors:
        with contextlib.suppress(OSError):  # one that is gone by now
            os.sched_setaffinity(0, [int(one) for one in processors.split(",")])
    sys.argv = ["robometa", *words]
    from robometa.commands import main as command_line

    return command_line.main(words)


def _end_with(lifeline: int) -> None:
    """Ends this process when the lifeline ends, whatever it is computing."""
    while os.read(lifeline, 1):
        pass
    os._exit(1)


if __name__ == "__main__":
    try:
        sys.exit(main(int(sys.argv[1]), sys.argv[2], sys.argv[3:]))
    except KeyboardInterrupt:  # before the training took over
        sys.exit(AT_ONCE)
