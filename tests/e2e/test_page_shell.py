"""The page in Chromium around the conversation: signing in, sessions, settings, keys, themes, narrow screens."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from playwright.async_api import expect

from container.protocol import VERSION
from gateway.web.request.auth import mint
from tests.gateway.stack import SECRET

if TYPE_CHECKING:
    from playwright.async_api import Route

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
    await expect(ada.page.locator("#login-why")).to_contain_text("signature is not ours")
    await ada.see("token").fill(mint("ada", -600, secret=SECRET))
    await ada.see("login").click()
    await expect(ada.page.locator("#login-why")).to_contain_text("expired")
    await ada.see("token").fill(f"{ada.url}/#token={mint('ada', 600, secret=SECRET)}")
    await ada.see("login").click()
    await expect(ada.see("prompt")).to_be_visible()


async def test_an_address_of_another_user_is_asked_about(people: People) -> None:
    ada = await people.person()
    await ada.open()
    await expect(ada.see("user")).to_have_text("ada")
    await ada.ask("Echo mine")
    grace = f"{ada.url}/#token={mint('grace', 600, secret=SECRET)}"
    await ada.page.goto(grace)
    question = ada.page.get_by_role("dialog", name="Sign in as someone else?")
    await expect(question).to_contain_text("“grace”")
    await expect(question).to_contain_text("“ada”")
    await ada.page.keyboard.press("Enter")
    await expect(question).to_be_hidden()
    await expect(ada.see("user")).to_have_text("ada")
    await expect(ada.see("session-item")).to_have_count(1)
    await ada.see("prompt").fill("a draft of ada's")
    await ada.page.goto("about:blank")
    await ada.page.goto(grace)
    await expect(ada.page).not_to_have_url(re.compile("token"))
    await ada.see("confirm-switch").click()
    await expect(ada.see("user")).to_have_text("grace")
    await expect(ada.see("session-item")).to_have_count(0)
    await expect(ada.see("prompt")).to_have_value("")
    for broken in ("%", "nonsense"):
        await ada.page.goto("about:blank")
        await ada.page.goto(f"{ada.url}/#token={broken}")
        await expect(ada.see("user")).to_have_text("grace")


async def test_the_list_asks_for_nothing_without_a_token_and_tells_when_it_is_refused(people: People) -> None:
    ada = await people.person()
    await ada.open()
    await ada.page.get_by_text("Your sessions will be listed here.").wait_for()
    asked: list[str] = []
    ada.page.on("request", lambda request: asked.append(request.url))
    stale = mint("ada", 600, secret="y" * 48)
    await ada.page.evaluate("(token) => localStorage.setItem('vaporforge.token', token)", stale)
    await ada.page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    await expect(ada.page.locator("#login-why")).to_contain_text("signature is not ours")
    asked.clear()
    await ada.page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    await ada.page.evaluate("fetch('/api/version')")
    assert [url for url in asked if "/api/sessions" in url] == []


async def test_nothing_of_a_user_is_left_after_signing_out(people: People) -> None:
    ada = await people.person()
    await ada.open()
    await ada.ask("Echo mine")
    other = await people.person(same_browser=ada)
    await other.page.goto(ada.page.url)
    await expect(other.see("user")).to_have_text("ada")
    for person in (ada, other):
        await person.see("prompt").fill("a draft")
    await ada.page.get_by_role("button", name="Sign out").click()
    for person in (ada, other):
        await expect(person.see("token")).to_be_visible()
        assert await person.page.evaluate("sessionStorage.length") == 0
        kept = await person.page.evaluate("Object.keys(localStorage)")
        assert [key for key in kept if "own" in key] == []
        await expect(person.see("session-item")).to_have_count(0)


async def test_the_page_works_where_the_browser_keeps_nothing(people: People) -> None:
    ada = await people.person()
    await ada.page.add_init_script(
        "for (const name of ['localStorage', 'sessionStorage'])"
        "  Object.defineProperty(window, name, {"
        "    configurable: true,"  # A tab's first, empty document may lend its window to the page, and this runs again.
        "    get() { throw new DOMException('no', 'SecurityError'); },"
        "  });"
    )
    await ada.open()
    assert await ada.ask("Echo here") == "here"


async def test_a_newer_page_is_offered(people: People) -> None:
    ada = await people.person()
    await ada.open()
    build = await ada.page.locator("meta[name=build]").get_attribute("content")
    page = await ada.page.request.get(ada.url)
    assert build
    assert build in page.headers["etag"]
    assert page.headers["vary"] == "Accept-Encoding"
    newer = ada.see("newer")
    async with ada.page.expect_request(lambda request: request.method == "HEAD"):
        await ada.return_after(61)
    await expect(newer).to_be_hidden()

    async def rolled(route: Route) -> None:
        if route.request.method == "HEAD":
            await route.fulfill(status=200, headers={"ETag": f'W/"{"0" * 32}"'})
        else:
            await route.fallback()

    await ada.page.route(f"{ada.url}/", rolled)
    await ada.return_after(61)
    await expect(newer).to_contain_text("A new version is available")
    await newer.get_by_role("button", name="Reload").click()
    await expect(newer).to_be_hidden()
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
    await expect(items.get_by_role("link")).to_be_focused()
    await expect(ada.see("message")).to_have_count(0)
    await ada.page.reload()
    await expect(items).to_have_count(1)


async def test_a_click_that_the_list_is_read_under_is_not_lost(people: People) -> None:
    ada = await people.person()
    await ada.open()
    await ada.ask("Echo one")
    await ada.see("session-item").hover()
    await ada.see("session-item").get_by_role("button", name="Rename").hover()
    await ada.page.mouse.down()
    async with ada.page.expect_response("**/api/sessions?*"):
        await ada.page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    await ada.page.evaluate("fetch('/api/version')")  # the list has been shown by its answer
    await ada.page.mouse.up()
    await expect(ada.page.get_by_label("Name of the session")).to_be_focused()


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
    await expect(ada.see("example")).to_have_count(3)


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
    await expect(ada.page.locator("#scroller")).to_be_focused()
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


async def test_only_a_click_beside_the_settings_closes_them(people: People) -> None:
    ada = await people.person()
    await ada.open()
    await ada.see("settings").click()
    await expect(ada.page.locator("#settings")).to_be_visible()
    box = await ada.page.get_by_label("MCP servers").bounding_box()
    assert box
    await ada.page.mouse.move(box["x"] + 40, box["y"] + 40)
    await ada.page.mouse.down()
    await ada.page.mouse.move(10, 10, steps=4)
    await ada.page.mouse.up()
    await expect(ada.page.locator("#settings")).to_be_visible()
    await ada.page.mouse.click(10, 10)
    await expect(ada.page.locator("#settings")).to_be_hidden()


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


async def test_the_theme_is_there_before_the_pages_modules(people: People) -> None:
    ada = await people.person(color_scheme="dark")

    async def hold(_route: Route) -> None:
        """The module never comes."""

    await ada.page.route("**/page.js", hold)
    await ada.page.goto(ada.url, wait_until="commit")
    await expect(ada.page.locator("body")).to_have_css("background-color", "rgb(22, 20, 18)")


CONTRASTS = """(selector) => {
  const luminance = (color) => {
    const parts = color.match(/[\\d.]+/g).slice(0, 3).map((part) => part / 255);
    const [r, g, b] = parts.map((part) => (part <= 0.03928 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const contrast = (one, other) => {
    const [low, high] = [luminance(one), luminance(other)].sort((a, b) => a - b);
    return (high + 0.05) / (low + 0.05);
  };
  const field = document.querySelector(selector);
  const edged = selector === "#prompt" ? field.closest("form") : field;
  const inside = getComputedStyle(edged).backgroundColor;
  const placeholder = getComputedStyle(field, "::placeholder");
  const { borderTopColor } = getComputedStyle(edged);
  const outside = getComputedStyle(edged.closest("dialog") ?? document.body).backgroundColor;
  return {
    placeholder: placeholder.opacity === "1" ? contrast(placeholder.color, inside) : 0,
    border: Math.min(contrast(borderTopColor, inside), contrast(borderTopColor, outside)),
  };
}"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_fields_can_be_seen(people: People, scheme: str) -> None:
    ada = await people.person(color_scheme=scheme)
    await ada.open()
    await ada.page.locator("#credential").evaluate("node => node.focus()")
    for selector in ("#token", "#prompt", "#credential"):
        seen = await ada.page.evaluate(CONTRASTS, selector)
        assert seen["placeholder"] >= 4.5, (selector, seen)
        assert seen["border"] >= 3, (selector, seen)


async def test_a_phone_has_room_for_everything(people: People) -> None:
    ada = await people.person(viewport={"width": 390, "height": 780}, has_touch=True, is_mobile=True)
    await ada.open()
    await ada.ask("Echo " + "a-very-long-word-" * 12 + "\n\n```\n" + "x" * 200 + "\n```")
    assert await ada.page.evaluate("document.documentElement.scrollWidth") == 390
    sessions = ada.page.get_by_role("button", name="Sessions", exact=True)
    await expect(ada.see("new-session")).not_to_be_in_viewport()
    await sessions.click()
    await expect(ada.see("new-session")).to_be_in_viewport()
    assert await ada.page.locator("#main").evaluate("node => node.inert")
    await ada.page.keyboard.press("Escape")
    assert not await ada.page.locator("#main").evaluate("node => node.inert")
    await expect(ada.see("new-session")).not_to_be_in_viewport()
    await expect(sessions).to_be_focused()
    await sessions.click()
    await ada.see("new-session").click()
    await expect(ada.see("example")).to_have_count(3)
    await expect(ada.see("new-session")).not_to_be_in_viewport()


async def test_a_phone_is_used_with_a_thumb(people: People) -> None:
    ada = await people.person(viewport={"width": 390, "height": 780}, has_touch=True, is_mobile=True)
    await ada.open()
    await ada.see("prompt").click()
    await ada.page.keyboard.type("Count to 9999")
    await ada.page.keyboard.press("Enter")
    await ada.page.keyboard.type("every 30 ms")
    await expect(ada.see("prompt")).to_have_value("Count to 9999\nevery 30 ms")
    await ada.see("send").tap()
    await expect(ada.see("status")).to_have_text("Writing…")
    status = await ada.see("status").bounding_box()
    modes = await ada.page.locator(".modes").bounding_box()
    assert status
    assert modes
    assert status["y"] + status["height"] <= modes["y"]
    await ada.see("stop").tap()
    await ada.rest()
    await ada.ask("Create a file called test.txt in /workspace with 'Hello'")
    copy = ada.see("tool-card").locator(".copy").first
    await expect(copy).to_be_visible()
    await expect(copy).to_have_css("opacity", "1")
    await ada.page.get_by_role("button", name="Sessions", exact=True).tap()
    await ada.see("settings").tap()
    await expect(ada.page.locator("#settings")).to_be_visible()
    small = await ada.page.evaluate(
        """() => [...document.querySelectorAll("button, .modes label, summary, input, textarea")]
          .filter((node) => node.checkVisibility({ visibilityProperty: true }) && !node.matches(".skip, .modes input"))
          .filter((node) => node.getBoundingClientRect().height < 40)
          .map((node) => node.outerHTML.slice(0, 120))"""
    )
    assert small == []
    sizes = await ada.page.evaluate(
        "[...document.querySelectorAll('textarea, input:not([type=radio])')]"
        ".map((node) => parseFloat(getComputedStyle(node).fontSize))"
    )
    assert min(sizes) >= 16
