"""A rehearsal: an environment, unchanged, on the local Azure, with everything of its own below `.entrant/`.

What a rehearsal of `dev` keeps in `.entrant/rehearsal/dev/`: its local Azure, the Pulumi home with its plugins, a file backend, the
passphrase (mode 0600) and the stack's configuration. So nothing touches `Pulumi.dev.yaml`, the user's Pulumi login, `~/.pulumi`
or `~/.azure`, and two rehearsals do not meet.

A run that was killed, or that failed, is gone on with: what it made and did not note is found first (`entrant.recovery`). One
whose state cannot be read starts over from nothing, for it is disposable.
"""

from entrant.rehearsal.job import down, run, shell
from entrant.rehearsal.place import Rehearsal, environ
from entrant.rehearsal.providers import users_home

__all__ = ["Rehearsal", "down", "environ", "run", "shell", "users_home"]
