"""Prints the OpenAPI document, for who makes something from it.

`python -m bootstrap.openapi_document` says the same as `/openapi.json`, without anything running.
"""

import json
import sys
from importlib.metadata import version
from typing import Any

from fastapi import FastAPI

from api.app import ROUTERS
from api.openapi import document, operation_id


def openapi_document() -> dict[str, Any]:
    """Return it."""
    app = FastAPI(
        title="Tallyport",
        version=version("tallyport"),
        openapi_url=None,
        generate_unique_id_function=operation_id,
    )
    for router in ROUTERS:
        app.include_router(router)
    return document(app)


def main() -> int:
    """Print it; return the exit code."""
    json.dump(openapi_document(), sys.stdout)
    return 0


if __name__ == "__main__":
    sys.exit(main())
