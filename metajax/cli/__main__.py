"""`python -m metajax.cli`, where the console script is not on the path."""

import sys

from metajax.cli import main

sys.exit(main())
