"""Debian's Chromium without a window, driven by its own chromedriver; nothing is downloaded."""

import asyncio
import shutil
from collections.abc import Callable
from typing import Any

from selenium.webdriver import ActionChains, Chrome, ChromeOptions
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By

from tests.until import until

CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
MISSING = "there is no chromium with chromedriver: apt-get install chromium chromium-driver"
DESKTOP, PHONE = (1280, 800), (390, 844)
OPTIONS = (
    "--headless=new",
    "--no-sandbox",  # else it refuses to run as root
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--hide-scrollbars",
    "--force-color-profile=srgb",
)
SCRIPT_TIMEOUT_S = 30
ABSENT = "net::ERR_CONNECTION_REFUSED"
"""What a browser says, as an error, of a request to a gateway that is down."""


class Page:
    """The browser's one page. Each step runs in a thread, so that a venue's supervisor keeps running."""

    def __init__(self, driver: Any) -> None:
        self.driver = driver

    async def open(self, url: str, size: tuple[int, int] = DESKTOP) -> None:
        """Go to an address in a window of this size, and forget what the console has said before."""
        width, height = size
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < DESKTOP[0]}
        await self.cdp("Emulation.setDeviceMetricsOverride", metrics)
        await asyncio.to_thread(self.driver.get, url)

    async def js(self, script: str, *given: Any) -> Any:
        """What a script returns; `arguments` are what is given."""
        return await asyncio.to_thread(self.driver.execute_script, script, *given)

    async def later(self, script: str, *given: Any) -> Any:
        """What a promise gives."""
        asynchronous = f"const done = arguments[arguments.length - 1]; (async () => {{ {script} }})().then(done, done)"
        return await asyncio.to_thread(self.driver.execute_async_script, asynchronous, *given)

    async def until(self, script: str, is_right: Callable[[Any], Any] = bool, *given: Any) -> Any:
        """The first right answer of a script that returns an expression."""
        return await until(lambda: self.js(f"return ({script})", *given), is_right)

    async def text(self, css: str) -> str:
        """The text of the first element."""
        found: str = await self.js("return document.querySelector(arguments[0])?.innerText ?? ''", css)
        return found

    async def sees(self, css: str, wanted: str) -> str:
        """Wait until an element's text has the wanted one in it; returns the text."""
        return await until(lambda: self.text(css), lambda text: wanted in text)

    async def click(self, css: str) -> None:
        await asyncio.to_thread(lambda: self.driver.find_element(By.CSS_SELECTOR, css).click())

    async def fill(self, css: str, text: str) -> None:
        """Replace what is in a field, as somebody types."""

        def type_it() -> None:
            field = self.driver.find_element(By.CSS_SELECTOR, css)
            field.clear()
            field.send_keys(text)

        await asyncio.to_thread(type_it)

    async def press(self, *keys: str) -> None:
        """Keys to whatever has the focus."""
        await asyncio.to_thread(lambda: ActionChains(self.driver).send_keys(*keys).perform())

    async def cdp(self, command: str, given: dict[str, Any] | None = None) -> Any:
        """A command of the DevTools protocol."""
        return await asyncio.to_thread(self.driver.execute_cdp_cmd, command, given or {})

    async def errors(self) -> list[str]:
        """What the console has said since it was last asked, without requests to a gateway that was down."""
        said = await asyncio.to_thread(self.driver.get_log, "browser")
        return [entry["message"] for entry in said if ABSENT not in entry["message"]]


def start() -> Page:
    """A new browser."""
    options = ChromeOptions()
    options.binary_location = CHROMIUM
    for option in OPTIONS:
        options.add_argument(option)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = Chrome(options, Service(DRIVER))
    driver.set_script_timeout(SCRIPT_TIMEOUT_S)
    return Page(driver)
