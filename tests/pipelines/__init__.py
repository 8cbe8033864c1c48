"""The pipelines: their files held to the makers' schemas and linters, and their steps run."""
