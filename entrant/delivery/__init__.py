"""Delivery of client secrets to the places that use them, and proof that they work."""
