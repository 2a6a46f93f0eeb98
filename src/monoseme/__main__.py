"""`python -m monoseme` is `monoseme`."""

import sys

from monoseme.cli.main import main

sys.exit(main())
