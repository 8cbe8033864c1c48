"""For CI systems: which stacks a change concerns, the comment on a pull request, locks left behind."""
