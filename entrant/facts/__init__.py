"""Facts about Azure: clouds, roles, scopes, Graph permissions, limits.

A leaf package: it imports the standard library only and nothing of this project, so that every other package can read it.
Each module says where its facts come from.
"""
