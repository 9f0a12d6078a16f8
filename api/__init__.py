"""The front door: parse, authorize, dispatch or query, answer."""
