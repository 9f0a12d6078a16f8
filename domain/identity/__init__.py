"""Identity: who somebody is, and from where they are signed in.

A *user* registers with a *username* and an *email*, each of which belongs to one user at a time,
and proves to be that user with a *password*. Signing in starts a *session*; signing out ends it.
Every user has a *personal team*, which owns what the user makes.

A *second factor* is what one has besides the password: an app that makes *codes* (TOTP), with
*recovery codes* for the day it is lost. A *passkey* signs in by itself: it is a thing one has and
asks for something that only its owner is or knows. Who *steps up* proves again, inside a session,
to be there still.

A *device sign-in* lets a program without a browser in: it shows a short code, which a person types
who is signed in elsewhere, and *approves* or *denies*.

*Erasure* makes a person unknown: the account is gone at once, then the person's key is destroyed,
then what the personal team had ends.
"""
