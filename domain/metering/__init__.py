"""Metering: every request that the gateway answered, exactly once.

A *request line* is what one HAProxy process wrote about one request. The meter cuts the lines of
one *request log* (one process, one file) into *frames*; a frame is one event. A request is
*billable* when it was let in and handed to a replica. Lines are numbered by their worker without
gaps, so a *missing* line is seen, counted and published, never guessed.

Calls of the REST API are not metered; of a key used there only the minute is *noted*.
"""
