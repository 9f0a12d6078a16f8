"""Mail: telling a person something outside the platform.

A *mail* is *requested* together with what it is about, in the same append, from a *template* with
its *parameters*; later it is *sent*, or an attempt *fails* and is repeated, until it is *given up*.
The address and the parameters are sealed. A *link* in a mail carries a token that stands nowhere:
the request names purpose, subject and nonce, and only the sender makes the token of them.
"""
