"""API keys: letting a program in, and shutting it out again.

A *key* is *created* with a *name*, *scopes*, a *limit* of requests per minute, perhaps an *expiry*
and perhaps the *networks* it may be used from. Its *secret* is shown once and kept only as a
*hash*. A key that is *rotated* gets a new secret and stays the same key, so what it did and may do
adds up; the secret before is *retiring* and works on for a *grace*. A key is *leaked* when a secret
of it was found where others can read it. A *revoked* key is refused everywhere, for ever.
"""
