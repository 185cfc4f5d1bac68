"""A host that a sandbox may not reach, in the page: told, allowed for the session, and taken back, in every tab."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio
from playwright.async_api import expect

from gateway.ids import new_id
from tests.conftest import ROOT
from tests.e2e.people import People
from tests.gateway.egress.test_frames import HOST, Reached
from tests.gateway.stack import Stack

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path


pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.timeout(300)]

DARK: dict[str, Any] = {"color_scheme": "dark", "viewport": {"width": 390, "height": 780}}


@pytest_asyncio.fixture(loop_scope="session")
async def stack(dynamodb_endpoint: str, tmp_path: Path) -> AsyncIterator[Stack]:
    async with Stack(
        dynamodb_endpoint, f"t-{new_id()}", tmp_path, egress="registries", egress_proxy="127.0.0.1:1"
    ) as made:
        yield made


async def test_an_owner_allows_a_host_and_takes_that_back(stack: Stack, people: People) -> None:
    ada = await people.person()
    await ada.open()
    await ada.say("count to 200 every 20 ms")
    await expect(ada.prose).to_contain_text("3")
    async with Reached(stack) as reached:
        assert (await reached.ask(f"CONNECT {HOST}:443", session=ada.session))[0] == 403
        note, button = ada.see("egress-blocked"), ada.see("allow-host")
        await expect(note).to_have_count(1)
        await expect(note).to_contain_text(HOST)
        await expect(button).to_have_text("Allow for this session")
        await ada.rest()
        other = await people.person(**DARK)
        await other.open(f"/#/s/{ada.session}")
        await expect(other.see("allow-host")).to_have_text("Allow for this session")

        await button.click()
        await expect(button).to_have_text("Take back")
        await expect(note).to_contain_text("Allowed for this session.")
        await expect(button).to_be_focused()
        await expect(other.see("allow-host")).to_have_text("Take back")
        inside, outside = (
            await other.see("allow-host").bounding_box(),
            await other.see("egress-blocked").bounding_box(),
        )
        assert inside is not None
        assert outside is not None
        assert inside["x"] + inside["width"] <= outside["x"] + outside["width"] <= DARK["viewport"]["width"]
        await other.page.screenshot(path=ROOT / "artifacts" / "page" / "egress-allowed.png")
        await ada.page.reload()
        await expect(button).to_have_text("Take back")

        await button.click()
        await expect(button).to_have_text("Allow for this session")
        await expect(note).not_to_contain_text("Allowed")
        await expect(other.see("allow-host")).to_have_text("Allow for this session")
        assert (await stack.get(f"/api/sessions/{ada.session}"))["egressHosts"] == []
