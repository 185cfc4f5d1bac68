"""The page in Chromium when a token ends: what is read stays, what is sent waits, and the same user goes on."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from playwright.async_api import expect

from gateway.web.request.auth import mint
from tests.gateway.stack import SECRET

if TYPE_CHECKING:
    from playwright.async_api import Dialog

    from tests.e2e.people import People, Person

pytestmark = pytest.mark.e2e

SOON = -20
"""Seconds to a token's end: behind it comes the leeway of 30."""


async def open_with(person: Person, token: str) -> None:
    await person.page.goto(f"{person.url}/#token={token}")
    await expect(person.see("prompt")).to_be_visible()


async def sign_in(person: Person, user: str) -> None:
    await person.see("token").fill(mint(user, 600, secret=SECRET))
    await person.see("login").click()


@pytest.mark.parametrize("transport", ["a WebSocket", "events"])
async def test_an_answer_stays_readable_when_its_token_ends_and_goes_on_behind_the_sign_in(
    people: People, transport: str
) -> None:
    ada = await people.person()
    if transport == "events":
        await ada.page.add_init_script("WebSocket = class { constructor() { throw new Error('none'); } };")
    await open_with(ada, mint("ada", SOON, secret=SECRET))
    await ada.say("Count to 9999 every 30 ms")
    await expect(ada.prose).to_contain_text("1 2 3")
    await expect(ada.see("sign-in")).to_be_visible()
    await expect(ada.page.locator("#login-why")).to_contain_text("expired")
    await expect(ada.prose).to_be_visible()
    await expect(ada.prose).to_contain_text("1 2 3")
    await expect(ada.see("status")).to_contain_text("Sign in to read on")
    await ada.say("Echo afterwards")
    read = len(await ada.prose.inner_text())
    await sign_in(ada, "ada")
    await expect(ada.see("sign-in")).to_be_hidden()
    await ada.page.wait_for_function(
        "(read) => document.querySelector('.prose').textContent.length > read + 20", arg=read
    )
    count = (await ada.prose.inner_text()).split()
    assert count == [str(number + 1) for number in range(len(count))]
    await ada.see("stop").click()
    await ada.rest()
    await expect(ada.prose).to_have_text("afterwards")
    await expect(ada.answers).to_have_count(2)


async def test_someone_else_s_sign_in_finds_nothing_of_who_was_there(people: People) -> None:
    ada = await people.person()
    await open_with(ada, mint("ada", SOON, secret=SECRET))
    await ada.ask("Echo mine")
    await ada.see("prompt").fill("a draft of ada's")
    await expect(ada.see("sign-in")).to_be_visible()
    await sign_in(ada, "grace")
    await expect(ada.see("user")).to_have_text("grace")
    await expect(ada.see("session-item")).to_have_count(0)
    await expect(ada.page.locator(".prose")).to_have_count(0)
    await expect(ada.see("prompt")).to_have_value("")


async def test_a_prompt_that_meets_an_ended_token_goes_out_behind_the_sign_in(people: People) -> None:
    ada = await people.person()
    await ada.open()
    await ada.ask("Echo first")
    await ada.page.evaluate(
        "(token) => localStorage.setItem('vaporforge.token', token)", mint("ada", -600, secret=SECRET)
    )
    await ada.say("Echo second")
    await expect(ada.see("sign-in")).to_be_visible()
    await expect(ada.page.locator(".prose").first).to_have_text("first")
    await sign_in(ada, "ada")
    await expect(ada.page.locator(".prose")).to_have_text(["first", "second"])


async def test_in_open_settings_the_sign_in_can_be_reached_and_what_is_typed_is_saved(people: People) -> None:
    ada = await people.person()
    await ada.open()
    await ada.page.get_by_role("button", name="Settings").click()
    await ada.page.locator("#credential").fill("sk-ant-x")
    await ada.page.evaluate(
        "(token) => localStorage.setItem('vaporforge.token', token)", mint("ada", -600, secret=SECRET)
    )
    await ada.page.locator("#settings-save").click()
    await sign_in(ada, "ada")
    await expect(ada.page.locator("#settings")).to_be_hidden()
    await expect(ada.see("sign-in")).to_be_hidden()


async def end_token(person: Person) -> None:
    ended = mint("ada", -600, secret=SECRET)
    await person.page.evaluate("(token) => localStorage.setItem('vaporforge.token', token)", ended)


async def test_the_sign_in_can_be_reached_over_settings_whichever_came_first_and_escape_does_not_end_it(
    people: People,
) -> None:
    ada = await people.person()
    await ada.open()
    await ada.ask("Echo first")
    await end_token(ada)
    await ada.say("Echo second")
    await expect(ada.see("sign-in")).to_be_visible()
    await expect(ada.see("status")).to_have_text("Not sent yet: sign in again.")
    await expect(ada.see("connection")).to_have_text("Signed out")
    await ada.page.get_by_role("button", name="Settings").click()
    await expect(ada.see("token")).to_be_focused()
    for _ in range(3):
        await ada.page.keyboard.press("Escape")
        # A second one closes it, and it is raised again at once: one that came in between would be for Settings.
        await expect(ada.see("token")).to_be_focused()
    await expect(ada.see("sign-in")).to_be_visible()
    await sign_in(ada, "ada")
    await expect(ada.see("sign-in")).to_be_hidden()
    await expect(ada.page.locator("#settings-save")).to_be_enabled()
    await ada.page.locator("#settings").get_by_role("button", name="Cancel").click()
    await expect(ada.page.locator(".prose")).to_have_text(["first", "second"])


async def test_with_the_keyboard_alone_one_signs_in_and_goes_on_writing(people: People) -> None:
    ada = await people.person()
    await ada.open()
    await ada.ask("Echo first")
    await end_token(ada)
    await ada.say("Echo second")
    await ada.see("token").fill(mint("ada", 600, secret=SECRET))
    await ada.see("token").press("Enter")
    await expect(ada.see("sign-in")).to_be_hidden()
    await expect(ada.see("prompt")).to_be_focused()


async def test_someone_else_signs_in_unasked_though_a_prompt_of_before_was_never_sent(people: People) -> None:
    ada = await people.person()
    asked: list[str] = []

    async def stay(dialog: Dialog) -> None:
        asked.append(dialog.type)
        await dialog.dismiss()

    ada.page.on("dialog", stay)
    await ada.open()
    await ada.ask("Echo first")
    await end_token(ada)
    await ada.say("Echo second")
    await sign_in(ada, "grace")
    await expect(ada.see("user")).to_have_text("grace")
    await expect(ada.see("session-item")).to_have_count(0)
    assert not asked
    kept = await ada.page.evaluate("Object.keys(localStorage).concat(Object.keys(sessionStorage))")
    assert kept == ["vaporforge.token"]


async def test_a_tab_that_slept_takes_nothing_from_who_signed_in_meanwhile(people: People) -> None:
    asleep = await people.person()
    await asleep.page.add_init_script(
        "addEventListener('storage', (event) => window.awake || event.stopImmediatePropagation())"
    )
    await asleep.open()
    await expect(asleep.see("user")).to_have_text("ada")
    other = await people.person(same_browser=asleep)
    await other.page.goto(other.url)
    await other.page.get_by_role("button", name="Sign out").click()
    await sign_in(other, "grace")
    await expect(other.see("user")).to_have_text("grace")
    await other.see("prompt").fill("a draft of grace's")
    await asleep.page.evaluate(
        "() => { window.awake = true; dispatchEvent(new StorageEvent('storage', {key: 'vaporforge.token'})); }"
    )
    await expect(asleep.see("user")).to_have_text("grace")
    await other.page.reload()
    await expect(other.see("prompt")).to_have_value("a draft of grace's")


@pytest.mark.parametrize("hours", [2, -2])
async def test_a_browser_s_clock_ends_no_token(people: People, hours: int) -> None:
    ada = await people.person()
    await ada.page.add_init_script(f"const now = Date.now; Date.now = () => now() + {hours} * 3600e3;")
    await ada.open()
    assert "hello" in await ada.ask("Echo hello")
    await ada.page.reload()
    await expect(ada.prose).to_have_text("hello")


async def test_an_address_with_an_ended_token_takes_nobody_s_place(people: People) -> None:
    ada = await people.person()
    await ada.open()
    for user in ("ada", "grace"):
        await ada.page.goto("about:blank")
        await ada.page.goto(f"{ada.url}/#token={mint(user, -600, secret=SECRET)}")
        await expect(ada.see("user")).to_have_text("ada")
        await expect(ada.see("sign-in")).to_be_hidden()
        assert "here" in await ada.ask("Echo here")


async def test_what_is_read_stays_though_the_first_look_at_the_list_had_no_answer(people: People) -> None:
    ada = await people.person()
    await ada.page.route("**/api/sessions?*", lambda route: route.abort())
    await ada.open()
    await ada.ask("Echo first")
    await ada.page.unroute("**/api/sessions?*")
    async with ada.page.expect_response("**/api/sessions?*"):
        await ada.page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    await end_token(ada)
    await ada.say("Echo second")
    await expect(ada.see("sign-in")).to_be_visible()
    await expect(ada.page.locator(".prose").first).to_be_visible()
    await sign_in(ada, "ada")
    await expect(ada.page.locator(".prose")).to_have_text(["first", "second"])
