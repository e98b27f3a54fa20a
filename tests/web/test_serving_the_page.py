"""The page's files as a browser gets them: types, compression, validators, a policy without inline code."""

import gzip
import re

import pytest

from tests.until import until
from tests.web.conftest import Api
from web.rest.page import files

MODULE = "/static/page/main.js"


@pytest.mark.parametrize(
    ("path", "content_type"),
    [
        ("/", "text/html"),
        (MODULE, "text/javascript"),
        ("/static/page/style.css", "text/css"),
        ("/static/vendor/lightweight-charts.mjs", "text/javascript"),
        ("/static/vendor/NOTICE.txt", "text/plain"),
    ],
)
async def test_a_file_has_its_type_and_is_asked_for_again_only_if_it_changed(
    api: Api, path: str, content_type: str
) -> None:
    """A newer gateway shows its newer page at once; the same one sends no byte twice."""
    async with api.session.get(api.url + path) as response:
        body, tag = await response.read(), response.headers["ETag"]
        assert (response.status, response.content_type) == (200, content_type)
        assert response.headers["Cache-Control"] == "no-cache"
        assert response.headers["X-Content-Type-Options"] == "nosniff"
    async with api.session.get(api.url + path, headers={"If-None-Match": tag}) as response:
        assert (response.status, await response.read()) == (304, b"")
    async with api.session.head(api.url + path) as response:
        assert response.status == 200
    assert body


async def test_files_are_compressed_for_those_who_can_unpack_them(api: Api) -> None:
    """The same bytes either way."""
    async with api.session.get(api.url + MODULE, headers={"Accept-Encoding": "identity"}) as response:
        plain = await response.read()
        assert "Content-Encoding" not in response.headers
    async with api.session.get(api.url + MODULE, headers={"Accept-Encoding": "gzip"}) as response:
        assert response.headers["Content-Encoding"] == "gzip"
        assert await response.read() == plain
    file = files()["page/main.js"]
    assert gzip.decompress(file.compressed) == file.body == plain


async def test_the_policy_allows_no_inline_code_and_nobody_else(api: Api) -> None:
    """Neither does the page have any."""
    async with api.session.get(f"{api.url}/") as response:
        policy, page = response.headers["Content-Security-Policy"], await response.text()
    assert "default-src 'none'" in policy and "unsafe" not in policy and "http" not in policy
    assert re.findall(r"<script(?![^>]* src=)|<style|\bstyle=|\bon[a-z]+=", page) == []
    for address in re.findall(r'(?:src|href)="([^"]+)"', page):
        assert address.startswith("/") or address == "data:,"


@pytest.mark.parametrize(
    "name", ["page/none.js", "README.md", "SHA256SUMS", "vendor/SHA256SUMS", "../docs.html", "page"]
)
async def test_only_the_pages_files_are_served(api: Api, name: str) -> None:
    """404 as a problem for everything else."""
    async with api.session.get(f"{api.url}/static/{name}") as response:
        assert (response.status, (await response.json())["code"]) == (404, "not_found")


async def test_the_page_needs_no_key_and_tells_nothing(gate: Api) -> None:
    """It asks for one itself; what it shows comes over calls that need one."""
    async with gate.session.get(f"{gate.url}/") as response:
        assert response.status == 200
    async with gate.session.get(f"{gate.url}/api/v1/pipeline") as response:
        assert response.status == 401


async def test_the_pipeline_counts_what_was_sent(api: Api, market: str) -> None:
    """Totals rise by what happens; every lag is known while all servers are there."""
    before = (await api("GET", "/pipeline")).body
    for price in ("100.00", "101.00"):
        await api.place(instrument=market, price=price)
    after = (
        await until(lambda: api("GET", "/pipeline"), lambda found: found.body["commands"] >= before["commands"] + 2)
    ).body
    assert after["reports"] >= before["reports"] + 2
    assert {stage["role"] for stage in after["stages"]} == {"matching", "gateway", "recording", "clearing"}
    assert all(stage["lag"] >= 0 for stage in after["stages"])
    assert after["checkpoint_age_s"] >= 0
