"""``python -m nested_lightning``: the command line."""

import os
import sys
from pathlib import Path

from nested_lightning.cli.main import main

if __name__ == "__main__":
    # Python has put the working folder first: a datasets.py beside the data would be run in place of the library.
    if sys.path[0] == os.getcwd() != str(Path(__file__).parents[1]):
        del sys.path[0]
    main()
