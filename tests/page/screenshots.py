"""`make screenshots`: pictures of the page in every state, and how long its frames take under load."""

import argparse
import asyncio
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp

from app.local.venue import ROOT, Venue, running_venue
from tests.page import browser
from tests.page.browser import DESKTOP, PHONE, Page
from tests.page.pictures import reduce, take
from tests.until import until

FOLDER, DOCS = ROOT / "screenshots", ROOT / "docs"
FLOWS_S, MEASURED_S = 75.0, 10.0  # long enough for a cycle and two bars
RISE_S = 4.0
CALM, BUSY = 40, 500  # steps a second, over ten markets
EMPTY, HALTED = "EMPTY-USD", "SOL-USD"
FRAMES = """
const [seconds, done] = [arguments[0], arguments[arguments.length - 1]];
const gaps = [], long = [];
new PerformanceObserver((list) => long.push(...list.getEntries().map((e) => e.duration))).observe({ type: "longtask" });
let last = null;
const end = performance.now() + seconds * 1000;
const tick = (now) => {
  if (last !== null) gaps.push(now - last);
  last = now;
  if (now < end) requestAnimationFrame(tick);
  else {
    gaps.sort((a, b) => a - b);
    const at = (share) => Math.round(gaps[Math.floor((gaps.length - 1) * share)] * 10) / 10;
    done({ frames: gaps.length, p50: at(0.5), p95: at(0.95), p99: at(0.99), longest: at(1), long_tasks: long.length });
  }
};
requestAnimationFrame(tick);
"""
BYTES = """
const entries = [...performance.getEntriesByType("navigation"), ...performance.getEntriesByType("resource")]
  .filter((entry) => !entry.name.includes("/api/"));
const sum = (name) => entries.reduce((total, entry) => total + entry[name], 0);
return { files: entries.length, sent: sum("transferSize"), unpacked: sum("decodedBodySize") };
"""


def main(arguments: list[str]) -> int:
    """Write the pictures; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.page.screenshots", description=__doc__)
    parser.add_argument("--docs", action="store_true", help="also the two of docs/, with few colours")
    options = parser.parse_args(arguments)
    if browser.CHROMIUM is None or browser.DRIVER is None:
        print(browser.MISSING, file=sys.stderr)
        return 1
    asyncio.run(_pictures(options.docs))
    return 0


async def _pictures(for_docs: bool) -> None:
    page = await asyncio.to_thread(browser.start)
    try:
        with tempfile.TemporaryDirectory(prefix="matchstream-pictures-", ignore_cleanup_errors=True) as folder:
            async with running_venue(Path(folder) / "data") as venue:
                async with _flow(venue, CALM):
                    await asyncio.sleep(FLOWS_S)
                    await _states(page, venue)
                    await _measure(page, venue)
                async with _flow(venue, BUSY):
                    await asyncio.sleep(RISE_S)
                    await _measure(page, venue)
                    await _lost(page, venue)
        if for_docs:
            for name in ("desktop-dark", "phone"):
                print(f"docs/page-{name}.png", await reduce(page, FOLDER / f"{name}.png", DOCS / f"page-{name}.png"))
    finally:
        await asyncio.to_thread(page.driver.quit)


async def _states(page: Page, venue: Venue) -> None:
    await _show(page, venue, "theme=dark", "desktop-dark")
    print("first view:", await page.js(BYTES))
    await page.click("#tab-1")
    await take(page, FOLDER / "fills.png")
    await page.click("#tab-3")
    await page.until("document.querySelectorAll('#tabpanel-3 tbody tr').length")
    await take(page, FOLDER / "statement.png")
    await page.press("?")
    await take(page, FOLDER / "help.png")
    await _show(page, venue, "theme=light", "desktop-light")
    await _show(page, venue, "theme=dark", "phone", PHONE)
    await _call(venue, "POST", f"/instruments/{HALTED}/halt")
    await _show(page, venue, f"theme=dark&instrument={HALTED}", "halted")
    await page.fill("#ticket [name=price]", "181.505")
    await page.fill("#ticket [name=quantity]", "1")
    await page.click("#ticket .send")
    await page.until("document.querySelector('#ticket .outcome').dataset.kind === 'bad'")
    await take(page, FOLDER / "ticket-error.png")
    await _call(venue, "POST", f"/instruments/{HALTED}/resume")
    rules = {"instrument": EMPTY, "base_asset": "EMPTY", "quote_asset": "USD", "tick_size": "0.01", "lot_size": "0.01"}
    await _call(venue, "POST", "/instruments", rules)
    await _show(page, venue, f"theme=dark&instrument={EMPTY}", "empty")


async def _lost(page: Page, venue: Venue) -> None:
    await _show(page, venue, "theme=dark", "before")
    await venue.stop_worker("gateway")
    await page.until("document.body.dataset.link === 'lost'")
    await asyncio.sleep(3)
    await take(page, FOLDER / "disconnected.png")


async def _show(page: Page, venue: Venue, query: str, name: str, size: tuple[int, int] = DESKTOP) -> None:
    await page.open(f"{venue.url}/?{query}", size)
    await page.until("document.body.dataset.link === 'live'")
    await asyncio.sleep(4)  # a few points of the rates
    await take(page, FOLDER / f"{name}.png")
    print(FOLDER / f"{name}.png")


async def _measure(page: Page, venue: Venue) -> None:
    await page.open(f"{venue.url}/?theme=dark")
    await page.until("document.body.dataset.link === 'live'")
    begun = await page.js("return Number(document.querySelector('#ladder .seq').innerText.replace(/[^0-9]/g, ''))")
    found = await asyncio.to_thread(page.driver.execute_async_script, FRAMES, MEASURED_S)
    ended = await page.js("return Number(document.querySelector('#ladder .seq').innerText.replace(/[^0-9]/g, ''))")
    orders = await page.text("#pipeline dd")
    print(f"{orders} commands/s, {(ended - begun) / MEASURED_S:.0f} reports/s of the shown market, ms:", found)


async def _call(venue: Venue, method: str, path: str, body: Any = None) -> None:
    async with aiohttp.ClientSession() as session:

        async def answered() -> int:
            async with session.request(method, f"{venue.url}/api/v1{path}", json=body) as response:
                return response.status

        await until(answered, lambda status: status in (200, 201, 422))


@asynccontextmanager
async def _flow(venue: Venue, rate: int) -> AsyncIterator[None]:
    arguments = ("-m", "load", "flow", "--url", venue.url, "--rate", str(rate))
    process = await asyncio.create_subprocess_exec(sys.executable, *arguments, cwd=ROOT)
    try:
        yield
    finally:
        process.terminate()
        await process.wait()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
