"""What can happen: per context its events, values and aggregate. No I/O, no clock, no framework."""
