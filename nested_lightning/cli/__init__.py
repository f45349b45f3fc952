"""The command ``lightning``: LightningCLI, and the commands ``taxonomy``, ``report``, ``dashboard`` and ``recipes``."""
