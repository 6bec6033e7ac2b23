"""Exit codes of the command line, and their description in its help."""

from __future__ import annotations

EXIT_CODES = """
exit codes:
  0    done
  1    failure, such as a full disk or a diverged training; saved work is kept
  2    mistake in the command line or a file of yours; the message explains it
  3    bug of robometa; files for a bug report are in the working directory
  75   training or search stopped on request, and saved
  130  stopped at once: a training by a second Ctrl-C, others by the first

Ctrl-C, SIGTERM and SIGUSR1 stop a training at the end of its iteration, and a search at once; other commands
end at Ctrl-C and SIGTERM.
`robometa resume RUN` continues a training that was stopped; the result is bit-identical.
"""

FAILURE, MISTAKE, BUG, STOPPED, AT_ONCE = 1, 2, 3, 75, 130
"""Exit codes, see `EXIT_CODES`. Schedulers read 75, `STOPPED`, as "try again later"."""
