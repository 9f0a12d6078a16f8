"""Counters shared by several processes: rate limits."""
