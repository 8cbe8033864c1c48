"""Owners told of credentials that end: one message for each app and stage."""
