"""The commands, a module for each family; `entrant.cli` loads one when it is called for."""
