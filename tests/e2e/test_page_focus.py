"""The page in Chromium while answers are late: what the reader does meanwhile, and where they type, is left alone."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest
from playwright.async_api import expect

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from playwright.async_api import Route

    from tests.e2e.people import People, Person
    from tests.gateway.stack import Stack

pytestmark = pytest.mark.e2e


@asynccontextmanager
async def late(person: Person, method: str, url: str) -> AsyncIterator[Callable[[], None]]:
    """Requests that are held until the block lets them go."""
    gone, held = asyncio.Event(), []

    async def hold(route: Route) -> None:
        if route.request.method == method:
            held.append(route.request)
            await gone.wait()
        await route.continue_()

    await person.page.route(url, hold)
    async with person.page.expect_response(lambda response: response.request in held):
        yield gone.set


async def typed_on(person: Person) -> None:
    """They go on typing where they were, in the prompt."""
    await person.page.keyboard.type(" and on")
    await expect(person.see("prompt")).to_have_value("typed and on")


async def begin_to_type(person: Person) -> None:
    await person.see("prompt").click()
    await person.page.keyboard.type("typed")


async def test_a_name_that_is_kept_late_leaves_the_keyboard_to_the_prompt(people: People) -> None:
    ada = await people.person()
    await ada.open()
    await ada.new_session()
    item = ada.see("session-item")
    await item.hover()
    await item.get_by_role("button", name="Rename").click()
    await ada.page.keyboard.type("Another name")
    async with late(ada, "PATCH", "**/api/sessions/*") as go:
        await begin_to_type(ada)
        go()
    await expect(ada.page.locator("#title")).to_have_text("Another name")
    await expect(item.get_by_role("link")).to_contain_text("Another name")
    await typed_on(ada)


async def test_a_deletion_that_takes_long_leaves_the_keyboard_to_the_prompt(
    people: People, stack: Stack
) -> None:
    doomed = await stack.session()
    await stack.ask(doomed, "Echo there")
    ada = await people.person()
    await ada.open()
    await ada.new_session()
    item = ada.page.locator(f'[data-session="{doomed}"]')
    await item.hover()
    await item.get_by_role("button", name="Delete").click()
    async with late(ada, "DELETE", "**/api/sessions/*") as go:
        await ada.see("confirm-delete").click()
        await begin_to_type(ada)
        go()
    await expect(item).to_have_count(0)
    await typed_on(ada)


async def test_earlier_messages_that_come_late_leave_the_keyboard_to_the_prompt(
    people: People, stack: Stack
) -> None:
    session = await stack.session()
    for number in range(42):
        body = {"sessionId": session, "content": f"message {number}", "messageId": f"m{number}"}
        async with stack.http.post(
            f"{stack.url}/api/sdk/persist", json=body, headers=stack.headers()
        ) as response:
            assert response.status == 200
    ada = await people.person()
    await ada.open(f"/#/s/{session}")
    async with late(ada, "GET", "**/messages?*cursor=*") as go:
        await ada.page.get_by_role("button", name="Load earlier").click()
        await begin_to_type(ada)
        go()
    await expect(ada.answers).to_have_count(42)
    await typed_on(ada)


async def test_a_new_session_that_is_made_late_takes_nobody_from_the_one_that_was_opened_meanwhile(
    people: People, stack: Stack
) -> None:
    other = await stack.session()
    await stack.ask(other, "Echo there")
    ada = await people.person()
    await ada.open()
    async with late(ada, "POST", "**/api/sessions") as go:
        await ada.see("new-session").click()
        await ada.page.locator(f'[data-session="{other}"] a').click()
        await expect(ada.prose).to_have_text("there")
        await begin_to_type(ada)
        go()
    await expect(ada.see("session-item")).to_have_count(2)
    await typed_on(ada)
    assert ada.session == other
