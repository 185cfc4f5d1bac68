"""The page in Chromium where a limit is reached: it says what, how much and when again, and loses nothing."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio
from playwright.async_api import expect

from gateway.ids import new_id
from gateway.quotas.service import Quotas
from gateway.web.request.auth import mint
from tests.gateway.stack import SECRET, Stack

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from tests.e2e.people import People

pytestmark = pytest.mark.e2e


@pytest_asyncio.fixture(loop_scope="session")
async def stack(dynamodb_endpoint: str, tmp_path: Path) -> AsyncIterator[Stack]:
    """A gateway that soon has enough."""
    limits = {"prompts_per_day": 1, "sessions_per_user": 2, "failed_sign_ins": 1}
    table = f"test-{new_id()}"
    async with Stack(dynamodb_endpoint, table, tmp_path / "sandboxes", **limits) as stack:
        yield stack


async def test_a_refused_prompt_and_a_refused_session_are_told_and_can_be_sent_again(
    people: People, stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    ada = await people.person()
    await ada.open()
    await ada.new_session()
    assert "one" in await ada.ask("Echo one")
    await ada.say("Echo two")
    await expect(ada.answers.last).to_contain_text("You may send 1 prompts a day")
    await expect(ada.answers.last).to_contain_text("try again in")
    await expect(ada.see("prompt")).to_have_value("Echo two")
    runs = stack.gateways[0].runs
    monkeypatch.setattr(runs, "quotas", Quotas(replace(stack.settings, prompts_per_day=0), runs.store))
    await ada.see("prompt").press("Enter")
    await ada.rest()
    await expect(ada.prose).to_contain_text("two")
    await ada.new_session()
    assert "three" in await ada.ask("Echo three")  # an empty one would be used again
    await ada.see("new-session").click()
    await expect(ada.page.locator("#notice")).to_contain_text("You have 2 sessions and may keep 2")


async def test_a_refused_sign_in_is_told_and_a_good_one_passes(people: People) -> None:
    ada = await people.person()
    await ada.page.goto(ada.url)
    for why in ("signature is not ours", "A sign-in may fail 1 times in 10 minutes"):
        await ada.see("token").fill(mint("ada", 600, secret="y" * 48))
        await ada.see("login").click()
        await expect(ada.page.locator("#login-why")).to_contain_text(why)
    await ada.see("token").fill(mint("ada", 600, secret=SECRET))
    await ada.see("login").click()
    await expect(ada.see("prompt")).to_be_visible()
