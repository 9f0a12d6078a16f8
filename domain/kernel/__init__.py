"""The words that every context shares: event, aggregate, claim, error, id."""
