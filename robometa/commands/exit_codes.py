"""Exit codes of the command line, and what its help says of them."""

from __future__ import annotations

EXIT_CODES = """
exit codes:
  0    done
  1    it could not be done: a full disk, a training that came out not finite; what was saved stays
  2    a mistake in what was asked, told in full
  3    a mistake of ours; a bundle for a bug report is left in the working directory
  75   a training was asked to stop, and saved: `robometa resume RUN` goes on as if it had never stopped
  130  stopped at once by a second Ctrl-C; `robometa resume RUN` goes on from the newest checkpoint

Ctrl-C, SIGTERM and SIGUSR1 stop a training at the end of its iteration.
"""

FAILURE, MISTAKE, BUG, STOPPED, AT_ONCE = 1, 2, 3, 75, 130
"""Exit codes, see `EXIT_CODES`. The last but one is what a scheduler takes as "try again later"."""
