"""schemathesis against the running venue: what the served document allows and what it forbids, thousands of times."""

import asyncio
import os
import re
import sys
from pathlib import Path

from tests.long import LONG
from tests.until import until
from tests.web.conftest import Api, list_market

ROOT = Path(__file__).parents[2]
SCHEMATHESIS = Path(sys.executable).with_name("schemathesis")
EXAMPLES = 300 if LONG else 12  # of each call, beside those at the limits of its schema
TIMEOUT_S = 1_800 if LONG else 400
LEAST_CASES = 1_000


async def test_every_answer_is_one_that_the_document_describes(api: Api, market: str, tmp_path: Path) -> None:
    """No 500, no status, type or body but those described, nothing accepted that the document forbids."""
    command = [
        SCHEMATHESIS,
        *("--config-file", ROOT / "tests/web/schemathesis.toml"),
        *("run", f"{api.url}/api/v1/openapi.json"),
        *("--max-examples", str(EXAMPLES), "--seed", "1", "--continue-on-failure"),
        *("--generation-database", "none", "--warnings", "off", "--no-color"),
    ]
    hooks = {
        "SCHEMATHESIS_MARKET": market,
        "SCHEMATHESIS_HALTED": await list_market(api),
        "SCHEMATHESIS_HOOKS": "tests.web.schemathesis_hooks",
        "PYTHONPATH": str(ROOT),
    }
    process = await asyncio.create_subprocess_exec(
        *map(str, command),
        cwd=tmp_path,
        env=os.environ | hooks,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        async with asyncio.timeout(TIMEOUT_S):
            output = (await process.communicate())[0].decode()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    cases = re.search(r"(\d+) generated, (\d+) passed", output)
    print(output[-2_000:])

    assert process.returncode == 0, output
    assert cases and cases[1] == cases[2] and int(cases[1]) >= LEAST_CASES, output
    # It got past the door: some of its orders stood in the book.
    orders = await until(lambda: api("GET", f"/orders?instrument={market}&limit=1000"), lambda found: found.body)
    assert {"new", "canceled", "filled"} & {order["status"] for order in orders.body}
