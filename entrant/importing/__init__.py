"""From a tenant to an environment file: what is there, in the vocabulary, taken over unchanged."""
