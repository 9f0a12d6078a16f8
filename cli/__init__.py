"""The command line of people: a plain client of the REST API, and of nothing else of ours."""
