"""Real servers from Python wheels, and the supervisor that keeps them and our processes alive.

Start at `servers.py` (which servers, which addresses) and `supervisor.py` (start, watch, stop).
Everything lives under one folder, the *home*; `home.py` says what is where.
"""
