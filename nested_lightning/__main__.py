"""``python -m nested_lightning``: the command line."""

from nested_lightning.cli.main import main

if __name__ == "__main__":
    main()
