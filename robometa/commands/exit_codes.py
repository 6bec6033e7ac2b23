"""Exit codes of the command line, and their description in its help."""

from __future__ import annotations

EXIT_CODES = """
exit codes:
  0    done
  1    failure, such as a full disk or a training that diverged (NaN or infinity); saved work is kept
  2    a mistake in the command line or in a file of yours; the message explains it
  3    a bug of robometa; a bundle for a bug report is written into the working directory
  75   a training stopped on request, and saved; `robometa resume RUN` continues it bit-identically
  130  stopped at once: a training by a second Ctrl-C (`robometa resume RUN` continues it), others by the first

Ctrl-C, SIGTERM and SIGUSR1 stop a training at the end of its iteration; other commands end at Ctrl-C and SIGTERM.
"""

FAILURE, MISTAKE, BUG, STOPPED, AT_ONCE = 1, 2, 3, 75, 130
"""Exit codes, see `EXIT_CODES`. Schedulers read 75, `STOPPED`, as "try again later"."""
