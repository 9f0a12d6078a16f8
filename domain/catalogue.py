"""The closed list of events: stable name, schema version, type."""
