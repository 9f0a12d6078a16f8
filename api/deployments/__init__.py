"""Deployments: asked for, changed, looked at, let go."""
