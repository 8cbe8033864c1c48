"""What a killed run left: `unfinished` (state and cloud brought together), `traces` (where a resource is in the cloud),
`checkpoints` (the files of a state, and its backups).
"""
