"""Portals: who sees how a deployment is called, and the document that says it."""
