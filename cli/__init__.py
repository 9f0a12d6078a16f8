"""The command line: an HTTP client of the API, and nothing more."""
