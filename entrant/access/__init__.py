"""Does the access work? Every grant tried, the deployer's own rights, and what an error of Azure means."""
