"""What the tests in a real browser may ask for: Chromium, and people who look at a gateway's page with it."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest
from playwright.async_api import async_playwright, expect

from gateway.ids import new_id
from tests.conftest import ROOT
from tests.e2e.deployed import claude_stack, demo_stack
from tests.e2e.people import PATIENCE_MS, People
from tests.gateway.stack import Stack

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from playwright.async_api import Browser

__all__ = ["claude_stack", "demo_stack"]  # fixtures: here, so that every module shares one deployment

FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic"]


@pytest.fixture
async def browser() -> AsyncIterator[Browser]:
    """The system's Chromium, or the one that Playwright brought."""
    async with async_playwright() as playwright:
        expect.set_options(timeout=PATIENCE_MS)
        browser = await playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=FLAGS, timeout=120_000
        )
        yield browser
        await browser.close()


@pytest.fixture
async def stack(dynamodb_endpoint: str, tmp_path: Path) -> AsyncIterator[Stack]:
    """A gateway on a table of its own, with sandboxes as processes and the demo agent."""
    async with Stack(dynamodb_endpoint, f"test-{new_id()}", tmp_path / "sandboxes") as stack:
        yield stack


@pytest.fixture
async def people(browser: Browser, stack: Stack, request: pytest.FixtureRequest) -> AsyncIterator[People]:
    """People with browsers of their own; at the end nothing may have gone wrong in their pages."""
    people = People(browser, stack, ROOT / "artifacts" / "page", str(request.node.name))
    yield people
    await people.leave()
