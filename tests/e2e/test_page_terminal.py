"""Terminals in Chromium: typed into, cut off, loaded again, searched, copied, left by keys; and on a phone."""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING

import pytest
from playwright.async_api import expect

if TYPE_CHECKING:
    from playwright.async_api import Locator

    from tests.e2e.people import People, Person
    from tests.gateway.stack import Stack

pytestmark = pytest.mark.e2e


async def opened(person: Person) -> Locator:
    """A new session with a terminal in its panel; where it is typed into."""
    await person.open()
    await person.new_session()
    await person.see("panel-open").click()
    await person.page.get_by_role("tab", name="Terminal").click()
    await person.page.get_by_role("button", name="Open a terminal").click()
    entry = person.page.get_by_role("textbox", name=re.compile("^Terminal "))
    await expect(entry).to_be_focused()
    return entry


async def files_say(stack: Stack, session: str, name: str, text: str) -> None:
    """Wait until a file of the workspace has this text."""
    path = stack.root / session / "workspace" / name
    async with asyncio.timeout(60):
        while not path.exists() or path.read_text() != text:
            await asyncio.sleep(0.05)


async def test_a_shell_is_typed_into_and_goes_on_over_a_cut_and_a_reload(
    people: People, stack: Stack
) -> None:
    ada = await people.person(viewport={"width": 1440, "height": 800})
    entry = await opened(ada)
    session, keyboard = ada.session, ada.page.keyboard
    assert "/terminal/t-" in ada.page.url
    await keyboard.type("stty size > size.txt; echo Grüße 漢字 > said.txt\n")
    await files_say(stack, session, "said.txt", "Grüße 漢字\n")
    rows, cols = map(int, (stack.root / session / "workspace" / "size.txt").read_text().split())
    assert cols > 40
    assert rows > 20
    await ada.page.set_viewport_size({"width": 1200, "height": 600})
    waits = f"while [ $(stty size | cut -d' ' -f1) -ge {rows} ]; do sleep 0.1; done"
    await keyboard.type(f"{waits}; echo smaller > sized.txt\n")
    await files_say(stack, session, "sized.txt", "smaller\n")
    stack.gateways[0].runs.drained.set()
    await expect(ada.see("terminal-status")).to_contain_text("Reconnecting…")
    await keyboard.type("echo typed meanwhile > late.txt\n")
    stack.gateways[0].runs.drained.clear()
    await files_say(stack, session, "late.txt", "typed meanwhile\n")
    await expect(ada.see("terminal-status")).to_be_hidden()
    await keyboard.type("kept=alive\n")
    await ada.page.reload()
    await expect(ada.see("terminal-tab")).to_have_attribute("data-state", "open")
    await ada.see("terminal-tab").click()
    await expect(entry).to_be_focused()
    await keyboard.type("echo $kept > kept.txt\n")
    await files_say(stack, session, "kept.txt", "alive\n")


async def test_keys_lead_out_search_and_copy_and_a_closed_one_is_gone(people: People, stack: Stack) -> None:
    clipboard = ["clipboard-read", "clipboard-write"]
    ada = await people.person(viewport={"width": 1440, "height": 800}, permissions=clipboard)
    entry = await opened(ada)
    session, keyboard, page = ada.session, ada.page.keyboard, ada.page
    await keyboard.type("echo needle > found.txt; cat found.txt\n")
    await files_say(stack, session, "found.txt", "needle\n")
    await keyboard.press("Escape")  # the shell's: no run is stopped, and the panel stays
    await expect(entry).to_be_focused()
    await keyboard.press("Control+Shift+F")
    await keyboard.type("needle")
    await keyboard.press("Enter")  # which selects it
    await expect(page.get_by_label("Search in the terminal")).not_to_have_class("none")
    await keyboard.press("Escape")
    await expect(entry).to_be_focused()
    await keyboard.press("Control+Shift+C")
    await expect(page.locator("#announcer")).to_have_text("Copied")
    assert await page.evaluate("navigator.clipboard.readText()") == "needle"
    await expect(entry).to_be_focused()
    await page.evaluate("navigator.clipboard.writeText('echo pasted > pasted.txt')")
    await keyboard.press("Control+C")  # the Escape of before is half a key to readline
    await keyboard.press("Control+Shift+V")
    await keyboard.press("Enter")
    await files_say(stack, session, "pasted.txt", "pasted\n")
    await keyboard.press("Control+Shift+L")
    await expect(ada.see("terminal-tab")).to_be_focused()
    background = "getComputedStyle(document.querySelector('.terminals')).backgroundColor"
    before = await page.evaluate(background)
    await page.locator("#theme").click()
    assert await page.evaluate(background) != before
    await ada.see("terminal-new").click()
    await expect(ada.see("terminal-tab")).to_have_count(2)
    await expect(ada.see("terminal-tab").nth(1)).to_have_attribute("data-state", "open")
    await keyboard.type("exit 3\n")
    await expect(ada.see("terminal-status")).to_contain_text("The shell has ended with 3.")
    for left in (1, 0):
        await page.get_by_role("button", name=re.compile("^Close Terminal ")).first.click()
        await expect(ada.see("terminal-tab")).to_have_count(left)
    await expect(page.get_by_text("No terminal is open.")).to_be_visible()


async def test_on_a_phone_there_are_keys_that_glass_has_not(people: People, stack: Stack) -> None:
    ada = await people.person(viewport={"width": 390, "height": 780}, has_touch=True, is_mobile=True)
    await ada.open()
    await ada.ask("Echo small")
    await ada.see("panel-open").click()
    await ada.page.get_by_role("tab", name="Terminal").click()
    await ada.page.get_by_role("button", name="Open a terminal").click()
    await expect(ada.see("terminal-tab")).to_have_attribute("data-state", "open")
    await ada.page.keyboard.type("cat > typed.txt\n")
    await ada.page.keyboard.type("small\n")
    await ada.page.get_by_role("button", name="Ctrl D").click()
    await files_say(stack, ada.session, "typed.txt", "small\n")
    width = await ada.page.evaluate("document.documentElement.scrollWidth")
    assert width <= 390
