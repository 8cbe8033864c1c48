"""Before an `up`: what would stand in its way, and what to do about it."""
