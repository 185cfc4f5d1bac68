"""What the tests in a real browser may ask for: Chromium, and people who look at a gateway's page with it."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio
from playwright.async_api import async_playwright, expect

from gateway.ids import new_id
from tests.conftest import ROOT
from tests.e2e.deployed import claude_stack, demo_stack
from tests.e2e.people import PATIENCE_MS, People
from tests.gateway.stack import Stack

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from playwright.async_api import Browser, Playwright

__all__ = ["claude_stack", "demo_stack"]  # fixtures: here, so that every module shares one deployment

FOLDER = Path(__file__).parent

FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """One event loop for all tests of this folder that have one: a browser belongs to the loop that started it."""
    for item in items:
        if FOLDER in item.path.parents and pytest_asyncio.is_async_test(item):
            item.add_marker(pytest.mark.asyncio(loop_scope="session"), append=False)


class Kept:
    """One Chromium for many tests: the system's, or the one that Playwright brought."""

    def __init__(self, playwright: Playwright, *flags: str) -> None:
        """`flags`: further ones of Chromium's."""
        self._playwright = playwright
        self._flags = [*FLAGS, *flags]
        self._browser: Browser | None = None

    async def browser(self) -> Browser:
        """Started anew when the last one has ended."""
        if self._browser is None or not self._browser.is_connected():
            self._browser = await self._playwright.chromium.launch(
                executable_path=shutil.which("chromium"), args=self._flags, timeout=120_000
            )
        return self._browser

    async def close(self) -> None:
        """End it."""
        if self._browser is not None:
            await self._browser.close()


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def chromium() -> AsyncIterator[Kept]:
    """Starting one for each test is a third of what many of them would cost."""
    async with async_playwright() as playwright:
        kept = Kept(playwright)
        yield kept
        await kept.close()


@pytest_asyncio.fixture(loop_scope="session")
async def browser(chromium: Kept) -> AsyncIterator[Browser]:
    """A browser in which nobody is: every person has a profile of their own, which ends with the test."""
    expect.set_options(timeout=PATIENCE_MS)
    browser = await chromium.browser()
    yield browser
    for context in browser.contexts:
        await context.close()


@pytest_asyncio.fixture(loop_scope="session")
async def stack(dynamodb_endpoint: str, tmp_path: Path) -> AsyncIterator[Stack]:
    """A gateway on a table of its own, with sandboxes as processes and the demo agent."""
    async with Stack(dynamodb_endpoint, f"test-{new_id()}", tmp_path / "sandboxes") as stack:
        yield stack


@pytest_asyncio.fixture(loop_scope="session")
async def people(browser: Browser, stack: Stack, request: pytest.FixtureRequest) -> AsyncIterator[People]:
    """People with browsers of their own; at the end nothing may have gone wrong in their pages."""
    people = People(browser, stack, ROOT / "artifacts" / "page", str(request.node.name))
    yield people
    await people.leave()
