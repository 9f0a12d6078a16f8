"""The proof. The folders mirror the tree; journeys/ and faults/ run the whole of it."""
