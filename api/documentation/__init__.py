"""The documentation, read where it is used: `docs/` as pages at `/help`, without a script.

`documents.py` makes pages of the Markdown; `routes.py` shows them, and finds words in them.
"""

from api.documentation.routes import router

__all__ = ["router"]
