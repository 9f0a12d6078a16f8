"""With what: one folder per capability, one file per technology; never a context's name."""
