"""`python -m web.schemas` writes the OpenAPI document of the routes and the AsyncAPI document to schemas/."""

from pathlib import Path

from web.rest import asyncapi, openapi
from web.server import ROUTES

SCHEMAS = Path(__file__).parents[1] / "schemas"


def documents() -> dict[str, str]:
    """File name -> text."""
    return {"openapi.json": openapi.text(ROUTES), "asyncapi.json": asyncapi.text()}


if __name__ == "__main__":
    for name, text in documents().items():
        (SCHEMAS / name).write_text(text)
