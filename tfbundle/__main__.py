"""``python -m tfbundle``."""

import sys

from tfbundle.cli import main

if __name__ == "__main__":
    sys.exit(main())
