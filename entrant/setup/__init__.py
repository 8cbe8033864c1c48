"""Set-up: the virtual environment, the Pulumi engine, and the language host of an engine that was built here."""
