"""The command ``lightning``: LightningCLI, and the commands ``taxonomy``, ``report``, ``dashboard`` and ``recipes``."""

OTHER_COMMANDS = ("dashboard", "recipes", "report", "taxonomy")
"""Commands without a Trainer; each is the function ``NAME_command`` of the module ``nested_lightning.cli.NAME``."""
