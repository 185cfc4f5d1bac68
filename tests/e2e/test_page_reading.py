"""The page in Chromium, for those who read while an answer grows: what is shown, what stays where it is."""

from __future__ import annotations

import asyncio
import json
import re
from typing import TYPE_CHECKING, Any

import pytest
from playwright.async_api import expect

from tests.conftest import ROOT

if TYPE_CHECKING:
    from playwright.async_api import Route, WebSocketRoute

    from tests.e2e.people import People, Person
    from tests.gateway.stack import Stack

pytestmark = pytest.mark.e2e

CORPUS = ROOT / "tests" / "page" / "shared" / "markdown-corpus.js"

LONG = "Write a detailed explanation of how WebSocket connections work"
BIG = 2**63 + 11

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
  for (const [, source] of HOSTILE.slice(0, 4)) {
    await check(`before\\n\\n${source} word\\n\\nafter`, source.length / 3 | 0);
  }
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


STILL = """(node) => new Promise((resolve) => {
  const look = (before) => {
    if (node.scrollTop === before) resolve(node.scrollTop);
    else setTimeout(look, 200, node.scrollTop);
  };
  look(NaN);
})"""


async def play(ada: Person, bodies: list[dict[str, object]]) -> None:
    """Every prompt gets these frames, whatever it asks."""

    def answer(socket: WebSocketRoute) -> None:
        frames = [{**body, "run": "r1", "seq": seq} for seq, body in enumerate(bodies, 1)]
        socket.on_message(lambda _start: socket.send("\n".join(map(json.dumps, frames))))

    await ada.page.route_web_socket("**/api/sdk/ws?*", answer)


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
    await ada.ask(f"Echo {marker * 1500}deep (every 1 ms)")
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


async def test_any_move_up_stops_following(people: People) -> None:
    ada = await reader(people, viewport={"width": 900, "height": 420})
    await ada.page.evaluate(GROW)
    scroller = ada.page.locator("#scroller")
    jump = ada.page.get_by_role("button", name="Jump to latest")
    code = ada.page.locator("#transcript pre code")
    await expect(code).to_contain_text("line 30")
    await scroller.hover(position={"x": 5, "y": 5})
    await ada.page.mouse.wheel(0, -20)
    await expect(jump).to_be_visible()
    here = await scroller.evaluate(STILL)
    await expect(code).to_contain_text("line 90")
    assert await scroller.evaluate("node => node.scrollTop") == here
    await jump.click()
    await expect(jump).to_be_hidden()
    await scroller.press("ArrowUp")
    await expect(jump).to_be_visible()
    here = await scroller.evaluate(STILL)
    await expect(code).to_contain_text("line 200")
    assert await scroller.evaluate("node => node.scrollTop") == here
    await scroller.press("End")
    await expect(jump).to_be_hidden()
    await expect(code).to_contain_text("line 300")
    assert await scroller.evaluate("node => node.scrollHeight - node.scrollTop - node.clientHeight") < 50
    await ada.page.evaluate("window.finishGrowing()")


async def test_a_view_that_the_browser_moves_down_is_not_the_reader_s_return(people: People) -> None:
    """A busy browser may take the view up by more than the wheel said, and put that right."""
    ada = await reader(people, viewport={"width": 900, "height": 420})
    await ada.page.evaluate(GROW)
    scroller = ada.page.locator("#scroller")
    jump = ada.page.get_by_role("button", name="Jump to latest")
    code = ada.page.locator("#transcript pre code")
    await expect(code).to_contain_text("line 30")
    await scroller.evaluate(
        """async (node) => {
          clearInterval(window.growing);
          node.dispatchEvent(new WheelEvent("wheel", { deltaY: -20 }));
          for (const by of [-60, 30]) {
            const moved = new Promise((resolve) => node.addEventListener("scroll", resolve, { once: true }));
            node.scrollTop += by;
            await moved;
          }
        }"""
    )
    here = await scroller.evaluate(STILL)
    # The browser keeps places of its own; here only what the page does is looked at.
    await scroller.evaluate("node => { node.style.overflowAnchor = 'none'; }")
    await code.evaluate("node => node.append('more\\n'.repeat(50))")
    assert await scroller.evaluate(STILL) == here
    await expect(jump).to_be_visible()
    await scroller.hover(position={"x": 5, "y": 5})
    await ada.page.mouse.wheel(0, 100_000)
    await expect(jump).to_be_hidden()
    await ada.page.evaluate("window.finishGrowing()")


COMPOSED = """(node, key) => node.dispatchEvent(
  new KeyboardEvent("keydown", { key, keyCode: 229, which: 229, bubbles: true, cancelable: true }))"""


async def test_keys_of_an_input_method_do_nothing_here(people: People) -> None:
    ada = await people.person()
    await ada.open()
    await ada.say("Count to 9999 every 20 ms")
    await expect(ada.prose).to_contain_text("1 2 3")
    await ada.see("prompt").fill("にほんご")
    for key in ("Enter", "Escape"):
        await ada.see("prompt").evaluate(COMPOSED, key)
    await expect(ada.see("prompt")).to_have_value("にほんご")
    row = ada.see("session-item")
    await row.get_by_role("link").dblclick()
    name = row.get_by_role("textbox")
    await name.fill("なまえ")
    for key in ("Enter", "Escape"):
        await name.evaluate(COMPOSED, key)
    await expect(name).to_have_value("なまえ")
    await name.press("Enter")
    await expect(row).to_contain_text("なまえ")
    await expect(ada.see("status")).not_to_have_text("Stopping…")
    await ada.see("stop").click()
    await ada.rest()
    assert [frame["prompt"] for frame in ada.sent if frame["type"] == "start"] == [
        "Count to 9999 every 20 ms"
    ]


async def test_alt_enter_begins_a_line_and_code_keeps_its_indentation(people: People) -> None:
    ada = await people.person()
    await ada.open()
    prompt = ada.see("prompt")
    await prompt.fill("\n    if x:")
    await prompt.press("Alt+Enter")
    await prompt.press_sequentially("        y()")
    await expect(prompt).to_have_value("\n    if x:\n        y()")
    await prompt.press("Enter")
    await expect(ada.answers).to_have_count(1)
    await ada.rest()
    assert ada.sent[0]["prompt"] == "    if x:\n        y()"
    await expect(ada.prompts.locator("p")).to_have_text("    if x:\n        y()", use_inner_text=True)


@pytest.mark.parametrize("touch", [False, True])
async def test_the_hint_says_what_enter_does(people: People, touch: bool) -> None:
    ada = await people.person(has_touch=touch, is_mobile=touch, viewport={"width": 1024, "height": 768})
    await ada.open()
    hint = ada.page.locator(".keys")
    glass = await ada.page.evaluate("matchMedia('(pointer: coarse) and (not (any-pointer: fine))').matches")
    assert glass == touch
    prompt = ada.see("prompt")
    await prompt.fill("Echo one")
    await prompt.press("Enter")
    if touch:
        await expect(hint).to_contain_text("Ctrl Enter sends · Enter new line")
        await expect(prompt).to_have_value("Echo one\n")
        await prompt.press("Control+Enter")
    else:
        await expect(hint).to_contain_text("Enter sends · Shift Enter new line")
    await expect(ada.prose).to_have_text("one")


async def test_outputs_are_shown_as_a_terminal_would(people: People) -> None:
    ada = await people.person()
    frames: list[dict[str, object]] = [
        {"type": "run"},
        {"type": "tool-start", "id": "t", "name": "Bash", "input": {"command": "make", "id": BIG}},
        {"type": "tool-result", "id": "t", "name": "Bash", "output": "\x1b[31mred\x1b[0m\n1%\r50%\r100%"},
        {"type": "process-exit", "exitCode": 0, "reason": "completed"},
    ]
    await play(ada, frames)
    await ada.open()
    await ada.say("Echo anything")
    card = ada.see("tool-card")
    await expect(card).to_have_attribute("data-state", "done")
    await expect(card.locator(".tool-output pre")).to_have_text("red\n100%", use_inner_text=True)
    await expect(card).to_contain_text(str(BIG))


DIRECTION = "node => getComputedStyle(node).direction"


async def test_text_goes_by_its_own_direction_and_code_does_not(people: People) -> None:
    ada = await people.person()
    await ada.open()
    hebrew = "שלום עולם"
    await ada.ask(
        f"Echo {hebrew}\n\n- {hebrew}\n- English\n\n```sh\nls # {hebrew}\n```\n\nEnglish again `{hebrew}`"
    )
    assert await ada.prose.locator("p").first.evaluate(DIRECTION) == "rtl"
    assert await ada.prose.locator("ul").evaluate(DIRECTION) == "rtl"
    aligned = await ada.prose.locator("li").evaluate_all(
        "all => all.map((one) => getComputedStyle(one).textAlign)"
    )
    assert aligned == ["right", "right"]
    assert await ada.prose.locator("pre").evaluate(DIRECTION) == "ltr"
    assert await ada.prose.locator("p").last.evaluate(DIRECTION) == "ltr"
    assert await ada.prose.locator("p code").evaluate(DIRECTION) == "ltr"
    await ada.see("prompt").fill(hebrew)
    assert await ada.see("prompt").evaluate(DIRECTION) == "rtl"
    assert await ada.page.locator(".session-title").evaluate("node => node.dir") == "auto"


async def test_the_clock_of_a_run_goes_on_over_a_reload(people: People) -> None:
    ada = await people.person()
    await ada.open()
    await ada.say("Count to 99999 every 30 ms")
    # A reload counts from when the gateway had the prompt, which is later than when the page sent it. From the reload
    # on a clock that begins anew would be seen at 2 s.
    await expect(ada.page.locator("#elapsed")).to_have_text(re.compile(r"^([89]|\d\d) s$"))
    await ada.page.reload()
    await expect(ada.page.locator("#elapsed")).not_to_be_empty()
    first = await ada.page.locator("#elapsed").inner_text()
    assert int(first.split()[0]) >= 5
    await ada.see("stop").click()
    await ada.rest()


BOX = "node => node.getBoundingClientRect().toJSON()"


@pytest.mark.parametrize(
    ("width", "height", "least"), [(390, 664, 150), (390, 480, 90), (320, 480, 90), (740, 360, 60)]
)
async def test_waiting_prompts_leave_room_to_read_and_to_press(
    people: People, width: int, height: int, least: int
) -> None:
    ada = await people.person(viewport={"width": width, "height": height})
    await ada.open()
    await ada.say("Count to 99999 every 30 ms")
    await expect(ada.prose).to_contain_text("1 2 3")
    for number in range(8):
        await ada.say(f"Echo {number}")
    await expect(ada.see("queued-prompt")).to_have_count(8)
    await ada.see("prompt").fill("line\n" * 20)
    assert (await ada.page.locator("#scroller").evaluate(BOX))["height"] >= least
    for button in ("send", "stop"):
        box = await ada.see(button).evaluate(BOX)
        assert 0 <= box["top"] < box["bottom"] <= height, button
        assert 0 <= box["left"] < box["right"] <= width, button
    last = ada.see("queued-prompt").last.get_by_test_id("cancel-queued")
    await last.click()
    await expect(ada.see("queued-prompt")).to_have_count(7)


async def test_the_whole_conversation_is_printed(people: People) -> None:
    ada = await people.person(viewport={"width": 900, "height": 420})
    await ada.open()
    await ada.ask(LONG)
    await ada.page.get_by_role("button", name="Use the dark theme").click()
    await ada.page.emulate_media(media="print")
    tall = (await ada.prose.evaluate(BOX))["height"]
    assert tall > 900
    assert await ada.page.evaluate("document.documentElement.scrollHeight") > tall
    for hidden in ("#sidebar", ".dock", "#connection"):
        await expect(ada.page.locator(hidden)).to_be_hidden()
    assert await ada.page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    pages = (await ada.page.pdf()).count(b"/Type /Page\n")
    assert pages >= 2


async def test_forced_colours_show_what_backgrounds_showed(people: People) -> None:
    ada = await people.person(forced_colors="active")
    await ada.open()
    await ada.ask("Echo one")
    background = "node => getComputedStyle(node).backgroundColor"
    dot = await ada.see("connection").evaluate("node => getComputedStyle(node, '::before').borderTopWidth")
    assert dot == "1px"
    agent, plan = (
        ada.page.get_by_role("radio", name=name).locator("xpath=following-sibling::span")
        for name in ("Agent", "Plan")
    )
    assert await agent.evaluate(background) != await plan.evaluate(background)
    current = ada.page.locator(".session > a[aria-current]")
    sidebar = ada.page.locator("#sidebar")
    assert await current.evaluate(background) != await sidebar.evaluate(background)
    await ada.say("Count to 9999 every 20 ms")
    await expect(ada.see("connection")).to_have_attribute("data-state", "live")
    live = await ada.see("connection").evaluate("node => getComputedStyle(node, '::before').backgroundColor")
    ground = await ada.page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert live != ground
    await ada.see("stop").click()
    await ada.rest()


async def test_an_empty_session_is_used_again(people: People, stack: Stack) -> None:
    ada = await people.person()
    await ada.open()
    await ada.see("new-session").dblclick()
    await ada.page.wait_for_url("**/#/s/*")
    first = ada.session
    await ada.page.keyboard.down("Control")
    for _ in range(8):
        await ada.page.keyboard.down("k")
    await ada.page.keyboard.up("k")
    await ada.page.keyboard.up("Control")
    await expect(ada.see("prompt")).to_be_focused()
    assert ada.session == first
    await ada.page.get_by_role("link", name="VaporForge").click()
    await ada.see("new-session").click()
    await ada.page.wait_for_url(f"**/#/s/{first}")
    await ada.ask("Echo used")
    assert await ada.new_session() != first
    await expect(ada.see("session-item")).to_have_count(2)
    assert len((await stack.get("/api/sessions"))["sessions"]) == 2


async def test_who_comes_back_finds_the_place(people: People) -> None:
    ada = await people.person(viewport={"width": 900, "height": 420})
    await ada.open()
    await ada.ask(LONG)
    first = ada.session
    await ada.ask("Echo more")
    heading = ada.page.locator(".prose h2").nth(1)
    await heading.evaluate("node => { document.querySelector('#scroller').scrollTop = node.offsetTop - 90; }")
    await expect(ada.page.get_by_role("button", name="Jump to latest")).to_be_visible()
    top = (await heading.evaluate(BOX))["top"]
    await ada.new_session()
    await ada.page.go_back()
    await ada.page.wait_for_url(f"**/#/s/{first}")
    await expect(heading).to_be_in_viewport()
    assert abs((await heading.evaluate(BOX))["top"] - top) <= 2
    await ada.page.reload()
    await expect(heading).to_be_in_viewport()
    assert abs((await heading.evaluate(BOX))["top"] - top) <= 2


async def test_escape_drops_nothing_that_was_typed_in_settings(people: People) -> None:
    ada = await people.person()
    await ada.open()
    await ada.see("settings").click()
    dialog = ada.page.locator("#settings")
    servers = ada.page.locator("#mcp")
    await expect(servers).to_be_editable()
    await ada.page.keyboard.press("Escape")
    await expect(dialog).to_be_hidden()
    await ada.see("settings").click()
    await expect(servers).to_be_editable()
    await servers.fill('{"docs": ')
    for _ in range(3):
        await ada.page.keyboard.press("Escape")
    await expect(dialog).to_be_visible()
    await expect(servers).to_have_value('{"docs": ')
    await expect(ada.page.locator("#settings-error")).to_contain_text("not saved")
    await ada.page.mouse.click(5, 5)
    await expect(dialog).to_be_visible()
    await dialog.get_by_role("button", name="Cancel").click()
    await expect(dialog).to_be_hidden()


DELETE = """async (id) => {
  const headers = { Authorization: `Bearer ${localStorage.getItem("vaporforge.token")}` };
  return (await fetch(`/api/sessions/${id}`, { method: "DELETE", headers })).status;
}"""


async def test_a_session_deleted_elsewhere_is_told_once(people: People) -> None:
    ada = await people.person()
    await ada.open()
    await ada.ask("Echo one")
    assert await ada.page.evaluate(DELETE, ada.session) == 204
    notice = ada.page.locator("#notice")
    await ada.page.wait_for_url("**/#/")
    await expect(notice).to_contain_text("deleted")
    assert (await notice.inner_text()).count("deleted") == 1


async def test_what_was_not_sent_outlives_its_tab_and_is_sent_once(people: People, stack: Stack) -> None:
    ada = await people.person()
    await ada.open()
    await ada.ask("Echo before")
    session, url = ada.session, ada.page.url
    other = await people.person(same_browser=ada)
    context = ada.page.context
    await context.set_offline(True)
    await ada.say("Echo kept")
    await expect(ada.see("status")).to_have_text("Not sent yet: it goes once there is a connection.")
    await ada.page.evaluate(WATCH_STATUS)
    await ada.say("Echo kept too")
    await expect(ada.see("queued-prompt")).to_contain_text("Echo kept too")
    await ada.see("prompt").press_sequentially("a draft")
    await ada.page.wait_for_timeout(5000)
    assert await ada.page.evaluate("window.said") == []
    async with ada.page.expect_event("dialog") as asked:
        await ada.page.close(run_before_unload=True)
    dialog = await asked.value
    assert dialog.type == "beforeunload"
    await dialog.accept()
    async with asyncio.timeout(20):
        while not ada.page.is_closed():
            await asyncio.sleep(0.05)
    await context.set_offline(False)
    await other.page.goto(f"{other.url}/")
    await expect(other.see("session-item")).to_contain_text("not sent")
    await other.page.goto(url)
    await expect(other.page.locator(".prose")).to_have_text(["before", "kept", "kept too"])
    await expect(other.see("prompt")).to_have_value("a draft")
    await other.rest()
    messages = (await stack.get(f"/api/sessions/{session}/messages"))["messages"]
    prompts = [one["content"] for one in messages if one["role"] == "user"]
    assert prompts == [
        "Echo before",
        "Echo kept",
        "Echo kept too",
    ]
    await other.page.goto(f"{other.url}/")
    await expect(other.see("session-item")).not_to_contain_text("not sent")


WATCH_STATUS = """() => {
  const status = document.querySelector("#status");
  window.said = [];
  new MutationObserver(() => {
    if (!status.textContent.startsWith("Not sent yet")) window.said.push(status.textContent);
  }).observe(status, { childList: true, characterData: true, subtree: true });
}"""


async def test_what_was_written_in_a_session_that_was_deleted_elsewhere_is_kept(people: People) -> None:
    ada = await people.person()
    await ada.open()
    await ada.ask("Echo one")
    await ada.see("prompt").fill("a long draft")
    assert await ada.page.evaluate(DELETE, ada.session) == 204
    await ada.page.wait_for_url("**/#/")
    await expect(ada.page.locator("#notice")).to_contain_text("deleted")
    await expect(ada.see("prompt")).to_have_value("a long draft")


async def test_the_mode_is_the_sessions_own_and_shown_on_each_prompt(people: People) -> None:
    ada = await people.person()
    await ada.open()
    plan = ada.page.get_by_role("radio", name="Plan")
    agent = ada.page.get_by_role("radio", name="Agent")
    await plan.check()
    await ada.ask("Echo first")
    await expect(plan).to_be_checked()
    await ada.page.reload()
    await expect(ada.see("prompt-mode")).to_have_text(["Plan"])
    await expect(plan).to_be_checked()
    planned = ada.page.url
    await ada.new_session()
    await expect(agent).to_be_checked()
    await ada.ask("Echo second")
    await plan.check()
    await ada.page.goto(planned)
    await expect(plan).to_be_checked()
    await agent.check()
    await ada.page.reload()
    await expect(ada.see("prompt-mode")).to_have_text(["Plan"])
    await expect(agent).to_be_checked()
    await ada.ask("Echo third")
    await expect(ada.see("prompt-mode")).to_have_text(["Plan", "Agent"])
    assert [frame["mode"] for frame in ada.sent if frame["type"] == "start"] == ["plan", "agent", "agent"]
    elsewhere = await people.person()
    await elsewhere.open()
    await elsewhere.page.goto(planned)
    await expect(elsewhere.see("prompt-mode")).to_have_text(["Plan", "Agent"])
    await expect(elsewhere.page.get_by_role("radio", name="Agent")).to_be_checked()
