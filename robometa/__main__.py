"""`python -m robometa`."""

import sys

from robometa.cli import main

sys.exit(main())
