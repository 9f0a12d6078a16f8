"""The data plane: HAProxy's configuration, its control at run time, and the meter of requests."""
