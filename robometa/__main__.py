"""`python -m robometa`; the script `robometa` is safer, because Python looks for this package in the current folder."""

import sys

if not sys.flags.safe_path and __file__ != f"{sys.path[0]}/robometa/__main__.py":
    del sys.path[0]  # the current folder: its files must not take a library's place

from robometa.commands.main import main

sys.exit(main())
