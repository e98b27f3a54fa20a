"""`python -m web.schemas` writes the OpenAPI document of the routes to schemas/."""

from pathlib import Path

from web.rest import openapi
from web.server import ROUTES

FILE = Path(__file__).parents[1] / "schemas" / "openapi.json"

if __name__ == "__main__":
    FILE.write_text(openapi.text(ROUTES))
