"""A real browser for tests, and the pictures that they keep of what it shows."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

PATIENCE = 60_000
"""Milliseconds for a run that was started in the UI: it is a process of its own, which imports everything."""

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
BROWSER_ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


def browser_path() -> str:
    """Returns the path of a browser; without one, the test is skipped."""
    paths = [path for name in BROWSERS if (path := shutil.which(name)) is not None]
    missing = "" if paths else "there is no browser: apt-get install chromium"
    if find_spec("playwright") is None:
        missing = "playwright is not installed: pip install '.[dev]'"
    if missing:
        # Only where nobody looks at what was skipped, a skip would pass for a success.
        (pytest.fail if os.environ.get("CI") else pytest.skip)(missing)
    return paths[0]


STILL = """
    document.addEventListener('DOMContentLoaded', () => {
        const style = document.createElement('style');
        style.textContent =
            '*, ::before, ::after { animation: none !important; transition: none !important; }';
        document.head.append(style);
    });
"""
"""Spinners would be drawn sixty times a second, without a GPU."""


@contextmanager
def launched(path: str) -> Iterator[Browser]:
    """Starts a browser."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=BROWSER_ARGUMENTS)
        yield browser
        browser.close()


@contextmanager
def opened_page(browser: Browser) -> Iterator[Page]:
    """Lends a page of 1600 pixels with cookies and storage of its own."""
    opened = browser.new_page(viewport={"width": 1600, "height": 1000})
    opened.set_default_timeout(PATIENCE)
    opened.add_init_script(STILL)
    # Top to bottom, and of each asset its checks and its state: what fits into a picture.
    opened.add_init_script(
        """
        localStorage.setItem('asset-graph-direction', JSON.stringify('vertical'));
        localStorage.setItem('asset-node-facets', JSON.stringify(['checks', 'status']));
        """
    )
    yield opened
    opened.close()


def keep(page: Page, name: str) -> None:
    """Saves a picture in the directory that ``SCREENSHOTS`` names."""
    directory = os.environ.get("SCREENSHOTS")
    if directory:
        Path(directory).mkdir(parents=True, exist_ok=True)
        page.mouse.move(800, 5)  # away from what it would highlight
        page.wait_for_timeout(3000)  # for what is fetched and fades in; the UI never stops asking
        page.screenshot(path=Path(directory) / f"{name}.png")
