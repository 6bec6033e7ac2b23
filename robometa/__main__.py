"""`python -m robometa`."""

import sys

from robometa.commands.main import main

sys.exit(main())
