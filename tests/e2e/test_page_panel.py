"""The panel beside the chat in Chromium, with tabs of the test's own: addresses, keys, width, narrow screens."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from playwright.async_api import expect

if TYPE_CHECKING:
    from playwright.async_api import Route

    from tests.e2e.people import People, Person

pytestmark = pytest.mark.e2e

TABS = """
export const TABS = [
  { id: "one", title: "One", load: () => import("./one.js") },
  { id: "two", title: "Two", load: () => import("./two.js") },
];
"""

TAB = """
export function open({ element, session, went }) {
  const field = document.createElement("input");
  const said = document.createElement("p");
  field.setAttribute("aria-label", "Field");
  field.addEventListener("change", () => went(field.value, { push: true }));
  element.append(field, said);
  return { show: (rest) => { said.textContent = `${session}: ${rest}`; }, close() {} };
}
"""


async def with_tabs(person: Person) -> None:
    async def answer(route: Route) -> None:
        body = TABS if route.request.url.endswith("tabs.js") else TAB
        await route.fulfill(body=body, content_type="text/javascript")

    await person.page.route(re.compile(r"/panel/(tabs|one|two)\.js$"), answer)


async def test_tabs_are_opened_kept_and_deep_linked(people: People) -> None:
    ada = await people.person(viewport={"width": 1440, "height": 800})
    await with_tabs(ada)
    await ada.open()
    await expect(ada.see("panel-open")).to_be_hidden()  # no session, no workspace
    await ada.new_session()
    session = ada.session
    await ada.see("panel-open").click()
    panel = ada.see("panel")
    await expect(panel.get_by_role("tab", name="One")).to_be_focused()
    await expect(panel.get_by_text(f"{session}:")).to_be_visible()
    await panel.get_by_role("textbox").fill("src/app.py:12")
    await panel.get_by_role("textbox").press("Tab")
    assert ada.page.url.endswith(f"#/s/{session}/one/src/app.py:12")
    await ada.see("tab-one").focus()
    await ada.page.keyboard.press("ArrowRight")
    await expect(panel.get_by_role("tab", name="Two", selected=True)).to_be_focused()
    assert ada.page.url.endswith(f"#/s/{session}/two")
    await ada.page.keyboard.press("ArrowRight")
    await expect(panel.get_by_role("textbox")).to_have_value("src/app.py:12")
    edge = panel.get_by_role("separator")
    before = int(await edge.get_attribute("aria-valuenow") or 0)
    await edge.press("ArrowLeft")
    await expect(edge).to_have_attribute("aria-valuenow", str(before + 24))
    await ada.page.reload()
    await expect(panel.get_by_text(f"{session}: src/app.py:12")).to_be_visible()
    await expect(edge).to_have_attribute("aria-valuenow", str(before + 24))
    await ada.ask("Echo beside")
    other = await ada.page.evaluate("document.querySelector('#sessions a').href")
    await ada.see("new-session").click()
    await expect(panel.get_by_text(session)).to_have_count(0)
    await expect(panel).to_be_visible()
    assert ada.session != session
    assert ada.page.url.endswith("/one")
    await ada.page.goto(other)
    await expect(panel.get_by_text(f"{session}:")).to_be_visible()
    await panel.get_by_role("textbox").fill("kept")
    await panel.get_by_role("textbox").press("Tab")
    await panel.get_by_role("button", name="Close the panel").click()
    await expect(ada.see("panel-open")).to_be_focused()
    assert ada.page.url.endswith(session)
    await ada.see("panel-open").click()
    await expect(panel.get_by_role("textbox")).to_have_value("kept")
    assert ada.page.url.endswith("/one/kept")


async def test_on_a_phone_it_is_a_sheet_that_escape_closes(people: People) -> None:
    ada = await people.person(viewport={"width": 390, "height": 780}, has_touch=True, is_mobile=True)
    await with_tabs(ada)
    await ada.open()
    await ada.ask("Echo small")
    await ada.see("panel-open").click()
    await expect(ada.see("panel")).to_be_visible()
    box = await ada.see("panel").bounding_box()
    assert box is not None
    assert (box["x"], box["width"]) == (0, 390)
    await expect(ada.page.locator("#main")).to_have_js_property("inert", value=True)
    await ada.page.keyboard.press("Escape")
    await expect(ada.see("panel")).to_be_hidden()
    await expect(ada.see("panel-open")).to_be_focused()
    await expect(ada.page.locator("#main")).to_have_js_property("inert", value=False)


async def test_a_tab_that_does_not_come_can_be_asked_for_again(people: People) -> None:
    ada = await people.person()
    await with_tabs(ada)
    await ada.open()
    await ada.new_session()
    lost = re.compile(r"/panel/one\.js$")
    await ada.page.route(lost, lambda route: route.abort())
    await ada.see("panel-open").click()
    await expect(ada.see("panel").get_by_role("alert")).to_contain_text("could not be loaded")
    await ada.page.unroute(lost)
    await with_tabs(ada)
    await ada.see("panel").get_by_role("button", name="Try again").click()
    await expect(ada.see("panel").get_by_role("textbox")).to_be_visible()
