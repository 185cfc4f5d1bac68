"""The page in Chromium, for those who read while an answer grows: what is shown, what stays where it is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from playwright.async_api import expect

from tests.conftest import ROOT

if TYPE_CHECKING:
    from playwright.async_api import Route

    from tests.e2e.people import People, Person
    from tests.gateway.stack import Stack

pytestmark = pytest.mark.e2e

CORPUS = ROOT / "tests" / "page" / "shared" / "markdown-corpus.js"

STREAMED = """async () => {
  const { ANSWERS, SAID, HOSTILE } = await import("/corpus.js");
  const { StreamingMarkdown, renderMarkdown } = await import("/shared/markdown.js");
  let seed = 7;
  const random = (below) => (seed = (seed * 16807) % 2147483647) % below;
  const whole = document.createElement("div");
  const wrong = [];
  const check = async (source, longest) => {
    const host = document.createElement("div");
    document.body.append(host);
    const streamed = new StreamingMarkdown(host);
    for (let at = 0; at < source.length; ) {
      const length = 1 + random(longest);
      streamed.append(source.slice(at, at + length));
      at += length;
      if (random(3) === 0) await new Promise(requestAnimationFrame);
    }
    streamed.finish();
    whole.replaceChildren(renderMarkdown(source));
    if (host.innerHTML !== whole.innerHTML) wrong.push([source.slice(0, 200), host.innerHTML.slice(0, 500)]);
    host.remove();
  };
  for (const source of [...ANSWERS, ...SAID.map(([one]) => one)]) {
    for (const longest of [1, 7, 40]) await check(source, longest);
  }
  for (const [, source] of HOSTILE.slice(0, 4)) await check(`before\\n\\n${source} word\\n\\nafter`, source.length / 3 | 0);
  return wrong;
}"""

GROW = """async () => {
  const { StreamingMarkdown } = await import("/shared/markdown.js");
  const host = document.createElement("div");
  host.className = "prose";
  document.querySelector("#transcript").append(host);
  const streamed = new StreamingMarkdown(host);
  let lines = 0;
  streamed.append("Some words to select, and **bold\\n\\n```sh\\nfirst\\n");
  window.growing = setInterval(() => {
    lines += 1;
    streamed.append(lines < 400 ? `line ${lines}\\n` : "");
  }, 10);
  window.finishGrowing = () => { clearInterval(window.growing); streamed.finish(); };
}"""

SELECT = """(node) => {
  const text = document.createTreeWalker(node, NodeFilter.SHOW_TEXT).nextNode();
  getSelection().setBaseAndExtent(text, 0, text, 5);
}"""


async def reader(people: People, **options: Any) -> Person:
    """Someone at the empty page, which the corpus is beside."""
    ada = await people.person(**options)

    async def corpus(route: Route) -> None:
        await route.fulfill(content_type="text/javascript", body=CORPUS.read_text())

    await ada.page.route("**/corpus.js", corpus)
    await ada.open()
    return ada


async def test_an_answer_that_grew_is_what_it_is_when_it_is_read_whole(people: People) -> None:
    ada = await reader(people)
    assert await ada.page.evaluate(STREAMED) == []


@pytest.mark.parametrize("marker", ["- ", "> ", "<b>"])
async def test_an_answer_that_nests_too_deep_hides_nothing(people: People, marker: str) -> None:
    ada = await people.person()
    await ada.open()
    await ada.ask(f"Echo {marker * 1500}deep")
    await expect(ada.prose).to_contain_text("deep")
    await ada.ask("Echo after it")
    await ada.page.reload()
    await expect(ada.page.locator(".prose")).to_have_count(2)
    await expect(ada.page.locator(".prose").first).to_contain_text("deep")
    await expect(ada.page.locator(".prose").last).to_have_text("after it")


async def test_an_answer_that_cannot_be_shown_hides_no_other(people: People, stack: Stack) -> None:
    session = await stack.session()
    await stack.ask(session, "Echo the broken one")
    await stack.ask(session, "Echo the next one")
    ada = await people.person()

    async def spoil(route: Route) -> None:
        answer = await route.fetch()
        page = await answer.json()
        for message in page["messages"]:
            if message["role"] == "assistant" and "broken" in message["content"]:
                message["parts"] = [None]
        await route.fulfill(response=answer, json=page)

    await ada.page.route("**/messages?*", spoil)
    await ada.open(f"/#/s/{session}")
    await expect(ada.page.locator(".prose")).to_have_text(["the next one"])
    await expect(ada.answers.first).to_contain_text("the broken one")


async def test_what_is_selected_or_pressed_in_a_growing_block_stays(people: People) -> None:
    ada = await reader(people, permissions=["clipboard-read", "clipboard-write"])
    await ada.page.evaluate(GROW)
    code = ada.page.locator("#transcript pre code")
    await expect(code).to_contain_text("line 5")
    await code.evaluate(SELECT)
    await expect(code).to_contain_text("line 40")
    assert await ada.page.evaluate("getSelection().toString()") == "first"
    copy = ada.page.get_by_role("button", name="Copy the code")
    await copy.hover()
    await ada.page.mouse.down()
    await expect(code).to_contain_text("line 80")
    await ada.page.mouse.up()
    await expect(ada.page.get_by_role("button", name="Copied")).to_be_visible()
    copied = await ada.page.evaluate("navigator.clipboard.readText()")
    assert copied.startswith("first\nline 1\n")
    assert "line 80" in copied
    assert not copied.endswith("\n")
    await ada.page.evaluate("window.finishGrowing()")
    await expect(ada.page.locator("#transcript strong")).to_have_count(0)
