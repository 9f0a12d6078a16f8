"""Analytics: every request, every container log line and what containers use, in ClickHouse.

A *request row* is one request line of one frame of the log; its identity is the frame's position
and the line's number in it. ClickHouse has no transaction with the log, so the projector asks it
what is stored and inserts what is missing; and the table keeps rows of one identity only once, so
even two projectors at the same time cannot make a number wrong. *Log rows* are what replicas wrote;
they come from the provisioner, not from the log of events, and are kept for some days; and so are
*samples*, what each replica used at the time of one round.
"""

NAME = "analytics"
"""The name by which its progress is known among the views."""
