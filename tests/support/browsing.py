"""Pages opened in headless Chromium."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tests.support.requirements import browser_programs

_FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
    "--disable-background-networking", "--disable-component-update", "--disable-dev-shm-usage",
)  # fmt: skip


@contextmanager
def browsing(profile: str) -> Iterator[Any]:
    """Give a selenium driver of a browser that keeps what it keeps in the directory ``profile``."""
    chromium, program = browser_programs()
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for flag in (*_FLAGS, f"--user-data-dir={profile}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(program))
    try:
        yield driver
    finally:
        driver.quit()


class Page:
    """A page in a window of a certain size.

    Args:
        driver: of the browser.
        path: of the page.
        width: of the window, in pixels.
        dark: whether the reader prefers dark colours.
        script: whether scripts may run.
    """

    def __init__(self, driver: Any, path: str, *, width: int = 1280, dark: bool = False, script: bool = True) -> None:
        self.driver = driver
        size = {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": width < 600}
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [scheme]})
        driver.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": not script})
        driver.get_log("browser")
        driver.get(f"file://{path}")
        if script:
            self.settle()

    def find(self, selector: str) -> list[Any]:
        """Return the elements that a CSS selector finds."""
        found: list[Any] = self.driver.find_elements("css selector", selector)
        return found

    def texts(self, selector: str) -> list[str]:
        """Return the text content of each."""
        return self.collect(selector, "textContent")

    def collect(self, selector: str, expression: str) -> list[Any]:
        """Return what a property or a method call gives for each element that a CSS selector finds."""
        script = f"return [...document.querySelectorAll(arguments[0])].map((element) => element.{expression})"
        values: list[Any] = self.driver.execute_script(script, selector)
        return values

    def run(self, script: str) -> Any:
        """Return what the body of a function returns."""
        return self.driver.execute_script(script)

    def settle(self) -> None:
        """Wait until charts that were to be drawn are drawn."""
        frames = "const done = arguments[0]; const wait = (n) => n ? requestAnimationFrame(() => wait(n - 1)) : done();"
        self.driver.execute_async_script(frames + "wait(4);")

    def complaints(self) -> list[Any]:
        """Return what was written to the console since the last call."""
        messages: list[Any] = self.driver.get_log("browser")
        return messages
