"""Live events: what happens, told to whoever watches, while it happens.

`hub.py` follows the log once per process and hands each watcher what is theirs; `tickets.py` makes
the single-use tickets by which a browser comes in; `routes.py` is the socket.
"""
