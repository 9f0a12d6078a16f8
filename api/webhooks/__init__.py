"""Webhooks: what is told to servers of the teams, and what became of it."""
