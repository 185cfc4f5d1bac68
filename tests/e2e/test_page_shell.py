"""The page in Chromium around the conversation: signing in, sessions, settings, keys, themes, narrow screens."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from playwright.async_api import expect

from container.protocol import VERSION
from gateway.auth import mint
from tests.gateway.stack import SECRET

if TYPE_CHECKING:
    from tests.e2e.people import People
    from tests.gateway.stack import Stack

pytestmark = pytest.mark.e2e


async def test_the_token_leaves_the_address_and_is_kept(people: People) -> None:
    ada = await people.person()
    await ada.open()
    assert "token" not in ada.page.url
    await expect(ada.see("version")).to_have_text(f"v{VERSION}")
    await ada.page.reload()
    await expect(ada.see("prompt")).to_be_visible()
    await ada.page.get_by_role("button", name="Sign out").click()
    await expect(ada.see("token")).to_be_visible()
    assert await ada.page.evaluate("localStorage.getItem('vaporforge.token')") is None


async def test_without_a_good_token_the_page_says_what_to_do(people: People) -> None:
    ada = await people.person()
    await ada.page.goto(ada.url)
    await expect(ada.page.locator("#login-why")).to_contain_text("paste a token")
    await ada.see("token").fill("nonsense")
    await ada.see("login").click()
    await expect(ada.page.locator("#login-why")).to_contain_text("That is no token")
    await ada.see("token").fill(mint("ada", 600, secret="y" * 48))
    await ada.see("login").click()
    await expect(ada.page.locator("#login-why")).to_contain_text("not valid")
    await ada.see("token").fill(mint("ada", -600, secret=SECRET))
    await ada.see("login").click()
    await expect(ada.page.locator("#login-why")).to_contain_text("expired")
    await ada.see("token").fill(f"{ada.url}/#token={mint('ada', 600, secret=SECRET)}")
    await ada.see("login").click()
    await expect(ada.see("prompt")).to_be_visible()


async def test_sessions_are_made_named_renamed_and_deleted(people: People) -> None:
    ada = await people.person()
    await ada.open()
    first = await ada.new_session()
    await ada.ask("Echo one")
    second = await ada.new_session()
    assert first != second
    items = ada.see("session-item")
    await expect(items).to_have_count(2)
    named = items.filter(has_text="Echo one")
    await named.hover()
    await named.get_by_role("button", name="Rename").click()
    await ada.page.keyboard.type("Renamed")
    await ada.page.keyboard.press("Enter")
    await items.filter(has_text="Renamed").get_by_role("link").click()
    await expect(ada.prose).to_have_text("one")
    await expect(ada.page.get_by_role("heading", level=1)).to_have_text("Renamed")
    await ada.page.go_back()
    await expect(ada.see("message")).to_have_count(0)
    assert ada.session == second
    await ada.page.go_forward()
    await expect(ada.prose).to_have_text("one")

    await items.filter(has_text="Renamed").hover()
    await items.filter(has_text="Renamed").get_by_role("button", name="Delete").click()
    await ada.page.get_by_role("button", name="Keep it").click()
    await expect(items).to_have_count(2)
    await items.filter(has_text="Renamed").hover()
    await items.filter(has_text="Renamed").get_by_role("button", name="Delete").click()
    await ada.see("confirm-delete").click()
    await expect(items).to_have_count(1)
    await expect(ada.see("message")).to_have_count(0)
    await ada.page.reload()
    await expect(items).to_have_count(1)


async def test_a_session_that_is_not_there_is_explained(people: People) -> None:
    ada = await people.person()
    await ada.open("/#/s/nothing-here")
    await expect(ada.page.get_by_role("alert").filter(has_text="deleted")).to_be_visible()
    await expect(ada.see("example")).to_have_count(3)


async def test_another_users_session_stays_theirs(people: People, stack: Stack) -> None:
    session = await stack.session("grace")
    ada = await people.person()
    await ada.open(f"/#/s/{session}")
    await expect(ada.page.get_by_role("alert").filter(has_text="belongs to another user")).to_be_visible()


async def test_the_examples_work(people: People) -> None:
    ada = await people.person()
    await ada.open()
    await ada.see("example").filter(has_text="test.txt").click()
    await ada.rest()
    await expect(ada.see("tool-card")).to_have_attribute("data-state", "done")
    await ada.page.keyboard.press("Control+k")
    await expect(ada.see("session-item")).to_have_count(2)
    await ada.see("example").filter(has_text="List files").click()
    await ada.rest()
    await expect(ada.answers.last).to_contain_text("The workspace holds")


async def test_older_messages_are_loaded_when_asked_for(people: People, stack: Stack) -> None:
    session = await stack.session()
    for number in range(23):
        await stack.ask(session, f"Echo answer-{number} every 0 ms")
    ada = await people.person()
    await ada.open(f"/#/s/{session}")
    await expect(ada.prose).to_have_text("answer-22")
    await expect(ada.answers).to_have_count(20)
    await ada.page.get_by_role("button", name="Load earlier messages").click()
    await expect(ada.answers).to_have_count(23)
    texts = await ada.page.locator(".prose").all_inner_texts()
    assert texts == [f"answer-{number}" for number in range(23)]
    await expect(ada.page.get_by_role("button", name="Load earlier messages")).to_be_hidden()


async def test_settings_are_checked_and_kept(people: People) -> None:
    ada = await people.person()
    await ada.open()
    await ada.see("settings").click()
    servers = ada.page.get_by_label("MCP servers")
    error = ada.page.locator("#settings-error")
    save = ada.page.get_by_role("button", name="Save")
    await servers.fill('{"docs": ')
    await expect(error).to_contain_text("This is not JSON")
    await servers.fill('{"docs": {"type": "carrier-pigeon"}}')
    await save.click()
    await expect(error).to_contain_text("mcpServers.docs")
    await servers.fill('{"docs": {"type": "http", "url": "https://docs.example/mcp"}}')
    await ada.page.get_by_label("Model credential").fill("sk-test")
    await save.click()
    await expect(save).to_be_hidden()
    await ada.see("settings").click()
    await expect(servers).to_have_value(re.compile("docs.example"))
    await expect(ada.page.get_by_label("Model credential")).to_have_value("")
    await expect(ada.page.locator("#credential-hint")).to_contain_text("One is set")
    await ada.page.get_by_role("button", name="Clear").click()
    await save.click()
    await expect(save).to_be_hidden()
    await ada.see("settings").click()
    await expect(ada.page.locator("#credential-hint")).to_contain_text("None is set")
    await ada.page.keyboard.press("Escape")
    await expect(save).to_be_hidden()


async def test_enter_sends_and_shift_enter_does_not(people: People) -> None:
    ada = await people.person()
    await ada.open()
    await ada.see("prompt").click()
    await expect(ada.see("send")).to_be_disabled()
    await ada.page.keyboard.type("Echo one")
    await ada.page.keyboard.press("Shift+Enter")
    await ada.page.keyboard.type("two")
    await ada.page.reload()
    await expect(ada.see("prompt")).to_have_value("Echo one\ntwo")
    await ada.see("prompt").press("Enter")
    await ada.rest()
    await expect(ada.prompts).to_contain_text("Echo one\ntwo")
    await expect(ada.see("prompt")).to_have_value("")


async def test_the_theme_follows_the_system_until_it_is_chosen(people: People) -> None:
    ada = await people.person(color_scheme="dark")
    await ada.open()
    dark = "getComputedStyle(document.body).backgroundColor"
    night = await ada.page.evaluate(dark)
    await ada.page.get_by_role("button", name="Use the light theme").click()
    day = await ada.page.evaluate(dark)
    assert day != night
    await ada.page.reload()
    assert await ada.page.evaluate(dark) == day
    await ada.page.get_by_role("button", name="Use the dark theme").click()
    assert await ada.page.evaluate(dark) == night


async def test_a_phone_has_room_for_everything(people: People) -> None:
    ada = await people.person(viewport={"width": 390, "height": 780}, has_touch=True, is_mobile=True)
    await ada.open()
    await ada.ask("Echo " + "a-very-long-word-" * 12 + "\n\n```\n" + "x" * 200 + "\n```")
    assert await ada.page.evaluate("document.documentElement.scrollWidth") == 390
    sessions = ada.page.get_by_role("button", name="Sessions", exact=True)
    await expect(ada.see("new-session")).not_to_be_in_viewport()
    await sessions.click()
    await expect(ada.see("new-session")).to_be_in_viewport()
    await ada.page.keyboard.press("Escape")
    await expect(ada.see("new-session")).not_to_be_in_viewport()
    await expect(sessions).to_be_focused()
    await sessions.click()
    await ada.see("new-session").click()
    await expect(ada.see("example")).to_have_count(3)
    await expect(ada.see("new-session")).not_to_be_in_viewport()
