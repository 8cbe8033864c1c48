"""From a stack's outputs to a bearer token: credentials, the cache on disk, formats, and running a command with tokens."""
