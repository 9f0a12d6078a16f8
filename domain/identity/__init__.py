"""Identity: who somebody is, and from where they are signed in.

A *user* registers with a *username* and an *email*, each of which belongs to one user at a time,
and proves to be that user with a *password*. Signing in starts a *session*; signing out ends it.
Every user has a *personal team*, which owns what the user makes.
"""
