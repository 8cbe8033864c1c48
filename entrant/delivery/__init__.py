"""Delivery of client secrets and certificates to the places that use them, and proof that they work."""
