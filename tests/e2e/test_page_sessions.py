"""The list of sessions in Chromium, where there are more of them than a page of it holds."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from playwright.async_api import expect

if TYPE_CHECKING:
    from tests.e2e.people import People, Person
    from tests.gateway.stack import Stack

pytestmark = pytest.mark.e2e

COUNT = 64


async def look(person: Person) -> None:
    """Have the page look at the list, as it does every 15 s."""
    async with person.page.expect_response("**/api/sessions?*"):
        await person.page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")


async def delete(stack: Stack, session: str) -> None:
    async with stack.http.delete(f"{stack.url}/api/sessions/{session}", headers=stack.headers()) as response:
        assert response.status == 204


async def test_the_oldest_of_many_is_on_top_once_prompted_and_stays(people: People, stack: Stack) -> None:
    made = [await stack.session() for _ in range(COUNT)]
    ada = await people.person()
    await ada.open(f"/#/s/{made[0]}")
    items = ada.see("session-item")
    await expect(items).to_have_count(51)
    await ada.ask("Echo one")
    await expect(items.first).to_have_attribute("data-session", made[0])
    await ada.page.reload()
    await expect(items).to_have_count(50)
    await ada.say("Count to 9999 every 30 ms")
    await expect(items.first).to_have_attribute("data-session", made[0])
    for _ in range(3):
        await look(ada)
    await expect(items.first).to_have_attribute("data-session", made[0])
    await expect(items.first.get_by_text("running")).to_be_attached()
    await ada.see("stop").click()
    await ada.rest()
    await stack.ask(made[1], "Echo elsewhere")
    await look(ada)
    await expect(items.first).to_have_attribute("data-session", made[1])
    await expect(items.nth(1)).to_have_attribute("data-session", made[0])


async def test_sessions_deleted_elsewhere_go_from_every_page_that_is_shown(
    people: People, stack: Stack
) -> None:
    made = [await stack.session() for _ in range(COUNT)]
    ada = await people.person()
    await ada.open()
    items = ada.see("session-item")
    await expect(items).to_have_count(50)
    await ada.page.get_by_role("button", name="Show older sessions").click()
    await expect(items).to_have_count(COUNT)
    doomed = [made[-1], made[20], made[2], made[0]]
    await asyncio.gather(*(delete(stack, session) for session in doomed))
    await look(ada)
    await expect(items).to_have_count(COUNT - len(doomed))
    left = [session for session in reversed(made) if session not in doomed]
    assert await items.evaluate_all("rows => rows.map((row) => row.dataset.session)") == left


async def test_a_session_that_is_renamed_while_it_runs_has_its_name_everywhere_at_once(
    people: People,
) -> None:
    ada = await people.person()
    await ada.open()
    await ada.say("Count to 9999 every 30 ms")
    await expect(ada.prose).to_contain_text("1 2 3")
    item = ada.see("session-item")
    await item.hover()
    await item.get_by_role("button", name="Rename").click()
    await ada.page.keyboard.type("Another name")
    await ada.page.keyboard.press("Enter")
    await expect(ada.page.locator("#title")).to_have_text("Another name")
    await expect(ada.page).to_have_title("Another name · VaporForge")
    await ada.see("stop").click()
    await ada.rest()
    await expect(item).to_contain_text("Another name")
