"""Audit: what is worth knowing later, although nothing changed.

Whatever changes something is an event already, and the audit list shows all of them. Here are the
*denials*: somebody known asked for what is not theirs, as far as they may know not there, or more
than their role or their key allows. An *attempt* is one route that was asked so, with how often.
"""
