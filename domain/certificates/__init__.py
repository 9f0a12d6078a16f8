"""Certificates: what lets a custom domain be served over TLS.

An active domain's certificate is *ordered* from a certificate authority and *issued*, and again
when two thirds of its time are over; an order that *fails* is tried again later. A team may
*upload* one of its own instead, which is used until it is *removed*. The certificates themselves
are in a store that all gateways share; here are only the facts, never a key.
"""
