"""What we can say: per view its table, its projector and its queries."""
