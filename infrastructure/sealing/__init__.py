"""Sealing: what only the holder of a key may read, and nobody once the key is destroyed."""
