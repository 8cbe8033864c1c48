"""Facts about Azure."""
