"""API keys: letting a program in, and shutting it out again.

A *key* is *created* with a *name*, *scopes* and a *limit* of requests per minute; its *secret* is
shown once and kept only as a *hash*. A key may *expire*. A *revoked* key is refused everywhere,
for ever.
"""
