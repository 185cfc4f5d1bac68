"""The page in Chromium, the seed's Task 11: text as it is made, tool calls as cards, stop that keeps the text."""

from __future__ import annotations

import asyncio
import itertools
import json
import math
from typing import TYPE_CHECKING

import pytest
from playwright.async_api import expect

from tests.container.redaction.secret_samples import GITHUB
from tests.e2e.people import PATIENCE_MS

if TYPE_CHECKING:
    from playwright.async_api import Route, WebSocketRoute

    from tests.e2e.people import People
    from tests.gateway.stack import Stack

pytestmark = pytest.mark.e2e

LONG = "Write a detailed explanation of how WebSocket connections work"

WATCH_TEXT = """() => {
  window.lengths = [];
  const changes = { childList: true, subtree: true, characterData: true };
  new MutationObserver(() => {
    const text = document.querySelector('[data-role="assistant"] .prose')?.textContent ?? "";
    if (text.length !== window.lengths.at(-1)) window.lengths.push(text.length);
  }).observe(document.querySelector('[data-testid="transcript"]'), changes);
}"""


STILL_OR_PAST = """(node, past) => new Promise((resolve) => {
  const look = (before) => {
    if (node.scrollTop > past || node.scrollTop === before) resolve(node.scrollTop);
    else setTimeout(look, 300, node.scrollTop);
  };
  look(NaN);
})"""


LOOK = "Object.defineProperty(document, 'visibilityState', {{ value: '{}', configurable: true }})"


async def test_text_grows_while_the_agent_writes(people: People) -> None:
    ada = await people.person()
    await ada.open()
    await ada.page.evaluate(WATCH_TEXT)
    answer = await ada.ask(LONG)
    lengths: list[int] = await ada.page.evaluate("window.lengths")
    assert len([length for length, following in itertools.pairwise(lengths) if following > length]) >= 5
    assert "The upgrade handshake" in answer
    text = "".join(frame["text"] for frame in ada.frames if frame["type"] == "text-delta")
    assert text.startswith("# How WebSocket connections work")
    await expect(ada.prose.locator("h1")).to_have_text("How WebSocket connections work")


async def test_the_socket_carries_the_prompt_and_its_address_no_secret(people: People) -> None:
    ada = await people.person()
    await ada.open()
    await ada.ask("Echo something-private")
    assert len(ada.sockets) == 1
    assert "/api/sdk/ws?" in ada.sockets[0]
    assert "token=" not in ada.sockets[0]
    assert "private" not in ada.sockets[0]
    assert ada.sent[0]["type"] == "start"
    assert ada.sent[0]["prompt"] == "Echo something-private"
    numbers = [frame["seq"] for frame in ada.frames if "seq" in frame]
    assert numbers == list(range(1, len(numbers) + 1))
    assert ada.frames[-1]["type"] == "process-exit"


async def test_a_tool_call_is_a_card_with_text_before_and_after(people: People, stack: Stack) -> None:
    ada = await people.person()
    await ada.open()
    await ada.ask("Create a file called test.txt in /workspace with 'Hello from WS streaming'")
    card = ada.see("tool-card")
    await expect(card).to_have_attribute("data-state", "done")
    await expect(card).to_contain_text("Write")
    await expect(card).to_contain_text("/workspace/test.txt")
    await expect(card).to_contain_text("File created successfully")
    texts = await ada.texts.all_inner_texts()
    assert [text.split()[0] for text in texts] == ["I'll", "Done:"]
    written = list(stack.root.rglob("test.txt"))
    assert [path.read_text() for path in written] == ["Hello from WS streaming"]


async def test_a_secret_is_struck_and_the_strike_is_seen_also_after_a_reload(people: People) -> None:
    ada = await people.person()
    await ada.open()
    answer = await ada.ask(f"Echo my token {GITHUB} and more")
    assert answer == "my token [redacted: github-token] and more"
    assert GITHUB not in json.dumps([frame for frame in ada.frames if "seq" in frame])
    await ada.page.reload()
    await expect(ada.prose).to_have_text(answer)
    await ada.ask(f"Create a file called .env in /workspace with 'TOKEN={GITHUB}'")
    card = ada.see("tool-card")
    await card.locator("summary").click()
    await expect(card).to_contain_text("TOKEN=[redacted: github-token]")
    await expect(card).not_to_contain_text(GITHUB)


async def test_plan_mode_changes_nothing(people: People, stack: Stack) -> None:
    ada = await people.person()
    await ada.open()
    await ada.page.get_by_role("radio", name="Plan").check()
    answer = await ada.ask("Create a file called test.txt in /workspace with 'no'")
    assert "Nothing is written" in answer
    assert ada.sent[0]["mode"] == "plan"
    assert list(stack.root.rglob("test.txt")) == []


@pytest.mark.parametrize("how", ["button", "escape"])
async def test_stop_keeps_the_text(people: People, how: str) -> None:
    ada = await people.person()
    await ada.open()
    await ada.say("Count to 100000 every 20 ms")
    await expect(ada.prose).to_contain_text("1 2 3 4 5 6 7 8 9 10")
    if how == "button":
        await ada.see("stop").click()
    else:
        await ada.page.keyboard.press("Escape")
    await ada.rest()
    kept = await ada.prose.inner_text()
    assert "9 10" in kept
    await expect(ada.answers.last).to_contain_text("Stopped")
    assert ada.frames[-1]["reason"] == "stopped"
    await ada.page.reload()
    await expect(ada.prose).to_have_text(kept)
    await expect(ada.answers.last).to_contain_text("Stopped")


async def test_prompts_wait_their_turn_and_can_be_cancelled(people: People) -> None:
    ada = await people.person()
    await ada.open()
    await ada.say("Count to 9999 every 30 ms")
    await expect(ada.prose).to_contain_text("1 2 3")
    await ada.say("Echo second")
    await ada.say("Echo never said")
    await expect(ada.see("queued-prompt")).to_have_count(2)
    await expect(ada.see("queued-prompt").nth(0)).to_contain_text("Queued (1st)")
    await expect(ada.see("queued-prompt").nth(1)).to_contain_text("Queued (2nd)")
    await ada.see("queued-prompt").nth(1).get_by_test_id("cancel-queued").click()
    await expect(ada.see("queued-prompt")).to_have_count(1)
    await ada.see("stop").click()
    await expect(ada.prose.get_by_text("second")).to_be_visible()
    await ada.rest()
    texts = await ada.page.locator(".prose:visible").all_inner_texts()
    assert texts[0].startswith("1 2 3")
    assert texts[1:] == ["second"]


async def test_prompts_are_taken_in_the_order_of_typing_and_cancelled_before_they_arrive(
    people: People,
) -> None:
    ada = await people.person()
    await ada.open()
    await ada.say("Count to 9999 every 30 ms")
    await expect(ada.prose).to_contain_text("1 2 3")
    held: list[Route] = []
    letting_go = asyncio.Event()

    async def slow_at_first(route: Route) -> None:
        held.append(route)
        if len(held) == 1:
            await letting_go.wait()
        await route.continue_()

    await ada.page.route("**/api/sdk/ticket", slow_at_first)
    for word in ("second", "never said", "third"):
        await ada.say(f"Echo {word}")
    waiting = ada.see("queued-prompt")
    await expect(waiting).to_have_count(3)
    await waiting.filter(has_text="never").get_by_test_id("cancel-queued").click()
    await expect(waiting).to_have_count(2)
    await waiting.filter(has_text="second").get_by_test_id("cancel-queued").click()
    await expect(waiting.filter(has_text="second")).to_contain_text("Cancelling")
    await ada.say("Echo last")
    letting_go.set()
    await expect(waiting).to_have_count(2)
    await ada.see("stop").click()
    await expect(ada.prose.get_by_text("last")).to_be_visible()
    await ada.rest()
    texts = await ada.page.locator(".prose:visible").all_inner_texts()
    assert texts[1:] == ["third", "last"]


async def test_waiting_prompts_are_still_there_after_a_reload(people: People, stack: Stack) -> None:
    ada = await people.person()
    await ada.open()
    await ada.say("Count to 9999 every 30 ms")
    await expect(ada.prose).to_contain_text("1 2 3")
    await ada.say("Echo second")
    await ada.say("Echo never said")
    await expect(ada.see("queued-prompt")).to_have_count(2)
    async with asyncio.timeout(PATIENCE_MS / 1000):  # until the gateway has both
        while len((await stack.get(f"/api/sessions/{ada.session}"))["queue"]) < 2:
            await asyncio.sleep(0.05)
    await ada.page.reload()
    await expect(ada.see("queued-prompt")).to_have_count(2)
    await ada.see("queued-prompt").filter(has_text="never").get_by_test_id("cancel-queued").click()
    await expect(ada.see("queued-prompt")).to_have_count(1)
    await ada.see("stop").click()
    await expect(ada.prose.get_by_text("second")).to_be_visible()
    await ada.rest()
    await expect(ada.page.get_by_text("Stopped before the agent wrote anything.")).to_be_visible()


async def test_a_prompt_behind_a_run_that_this_tab_did_not_know_waits_and_shows_that_run(
    people: People, stack: Stack
) -> None:
    ada = await people.person()
    await ada.open()
    session = await ada.new_session()
    await ada.page.evaluate(LOOK.format("hidden"))
    async with stack.connect(session, prompt="Count to 300 every 40 ms"):
        await ada.say("Echo mine")
        await expect(ada.see("queued-prompt")).to_contain_text("Echo mine")
    await ada.page.evaluate(LOOK.format("visible"))
    await expect(ada.page.locator(".prose")).to_have_count(2)
    await ada.rest()
    texts = await ada.page.locator(".prose").all_inner_texts()
    assert texts[0].endswith("299 300")
    assert texts[1] == "mine"


async def test_a_failing_run_says_so(people: People) -> None:
    ada = await people.person()
    await ada.open()
    await ada.ask("Fail, please")
    await expect(ada.answers.last).to_contain_text("This answer is about to fail.")
    await expect(ada.answers.last.locator(".turn-note.error")).to_have_text(
        "The demo agent failed, as it was asked to."
    )
    await ada.ask("Crash, please")
    await expect(ada.answers.last.locator(".turn-note.error")).to_have_count(1)
    assert "back" in await ada.ask("Echo back again")


async def test_a_lost_sandbox_and_a_conversation_begun_anew_are_told(people: People) -> None:
    ada = await people.person()
    bodies: list[dict[str, object]] = [
        {"type": "run"},
        {"type": "session-reset"},
        {"type": "text-delta", "text": "As far as I came"},
        {"type": "sandbox-lost", "reason": "oom"},
        {"type": "process-exit", "exitCode": None, "reason": "lost"},
    ]

    def play(socket: WebSocketRoute) -> None:
        def answer(_start: str | bytes) -> None:
            frames = [{**body, "run": "r1", "seq": seq} for seq, body in enumerate(bodies, 1)]
            socket.send("\n".join(map(json.dumps, frames)))

        socket.on_message(answer)

    await ada.page.route_web_socket("**/api/sdk/ws?*", play)
    await ada.open()
    await ada.ask("Echo anything")
    notes = ada.answers.last.locator(".turn-note")
    await expect(notes).to_have_count(2)
    await expect(notes.first).to_contain_text("began a new one")
    await expect(notes.last).to_contain_text("ran out of memory")
    await expect(ada.prose).to_have_text("As far as I came")


async def test_a_prompt_stays_where_it_was_written_until_it_is_taken(people: People) -> None:
    ada = await people.person()
    refusing = True

    async def refuse(route: Route) -> None:
        if refusing and route.request.method == "POST":
            refusal = {"error": "The store is away.", "code": "store-unavailable"}
            await route.fulfill(status=503, json=refusal)
        else:
            await route.fallback()

    await ada.page.route("**/api/sessions", refuse)
    await ada.open()
    await ada.say("Echo kept")
    await expect(ada.page.get_by_role("alert").filter(has_text="The store is away")).to_be_visible()
    await expect(ada.see("prompt")).to_have_value("Echo kept")
    refusing = False
    await ada.see("prompt").press("Enter")
    await expect(ada.prose).to_have_text("kept")
    await expect(ada.see("prompt")).to_have_value("")
    await ada.page.get_by_role("link", name="VaporForge").click()
    await expect(ada.see("prompt")).to_have_value("")


async def test_a_session_that_cannot_be_read_at_first_takes_prompts_and_recovers(
    people: People, stack: Stack
) -> None:
    session = await stack.session()
    await stack.ask(session, "Echo before")
    ada = await people.person()
    away = True

    async def fail(route: Route) -> None:
        if away:
            refusal = {"error": "The store is away.", "code": "store-unavailable"}
            await route.fulfill(status=503, json=refusal)
        else:
            await route.fallback()

    await ada.page.route(f"**/api/sessions/{session}", fail)
    await ada.open(f"/#/s/{session}")
    notice = ada.page.locator("#notice")
    await expect(notice).to_contain_text("The store is away")
    await expect(ada.see("example").first).to_be_hidden()
    await notice.evaluate(
        "node => new MutationObserver((all) => { window.spoken = (window.spoken ?? 0) + all.length; })"
        ".observe(node, { childList: true, characterData: true, subtree: true })"
    )
    await ada.say("Echo after")
    await expect(ada.see("queued-prompt")).to_contain_text("Echo after")
    async with ada.page.expect_response(f"**/api/sessions/{session}"):
        pass
    async with ada.page.expect_response(f"**/api/sessions/{session}"):
        pass
    spoken = await ada.page.evaluate("window.spoken ?? 0")
    assert spoken <= 2  # taken away by the prompt, told again by the next look; not at every look
    away = False
    await expect(ada.page.locator(".prose")).to_have_text(["before", "after"])
    await expect(notice).to_be_hidden()
    await expect(ada.see("connection")).to_have_text("Ready")


async def test_the_keyboard_stays_in_the_queue_when_it_changes(people: People) -> None:
    ada = await people.person()
    await ada.open()
    await ada.say("Count to 9999 every 30 ms")
    await expect(ada.prose).to_contain_text("1 2 3")
    for word in ("second", "third"):
        await ada.say(f"Echo {word}")
    waiting = ada.see("queued-prompt")
    await expect(waiting).to_have_count(2)
    await waiting.filter(has_text="third").get_by_test_id("cancel-queued").focus()
    await waiting.filter(has_text="second").get_by_test_id("cancel-queued").evaluate("node => node.click()")
    await expect(waiting).to_have_count(1)
    await expect(waiting.get_by_test_id("cancel-queued")).to_be_focused()
    await ada.page.keyboard.press("Enter")
    await expect(waiting).to_have_count(0)
    await expect(ada.see("prompt")).to_be_focused()
    await ada.see("stop").click()
    await ada.rest()


async def test_answers_are_shown_safely(people: People) -> None:
    ada = await people.person()
    await ada.open()
    hostile = (
        'Echo **bold** <img src=x onerror="window.hurt = 1"> <script>window.hurt = 1</script> '
        '<a href="javascript:alert(1)">bad</a> [good](https://example.com/) ![beacon](https://example.com/p.png) '
        '<iframe src="https://example.com"></iframe> <b style="color: red" onclick="x()" class="y">raw</b>'
        "press <kbd>Esc</kbd> in <template> [bad](javascript:alert(1)) [worse](data:text/html,x)"
        "\n\n```python\nprint('hi')\n```\n\n| a | b |\n| - | - |\n| 1 | 2 |"
    )
    await ada.ask(hostile)
    prose = ada.prose
    await expect(prose.locator("strong")).to_have_text("bold")
    await expect(prose.locator("img, script, iframe, [onclick], [onerror], [style]")).to_have_count(0)
    await expect(prose.locator("kbd")).to_have_text("Esc")
    await expect(prose.locator("p").first).to_contain_text("<template>")
    await expect(prose.locator("p").first).to_contain_text("<script>window.hurt = 1</script>")
    good = prose.get_by_role("link", name="good")
    await expect(good).to_have_attribute("rel", "noopener noreferrer")
    await expect(good).to_have_attribute("target", "_blank")
    await expect(prose).to_contain_text("worse")
    addresses = await prose.locator("a[href]").evaluate_all("links => links.map((link) => link.href)")
    assert addresses == ["https://example.com/", "https://example.com/p.png"]
    await expect(prose.locator(".code-bar")).to_contain_text("python")
    await expect(prose.locator("td")).to_have_text(["1", "2"])
    assert await ada.page.evaluate("window.hurt === undefined")


async def test_code_is_copied_as_it_is(people: People) -> None:
    ada = await people.person(permissions=["clipboard-read", "clipboard-write"])
    await ada.open()
    await ada.ask("Echo \n```sh\necho 'a  b'\n```")
    copy = ada.prose.get_by_role("button", name="Copy the code")
    await copy.evaluate(
        """node => {
          window.said = new Promise((resolve) => {
            new MutationObserver(() => resolve(node.ariaLabel)).observe(node, { attributeFilter: ["aria-label"] });
          });
        }"""
    )
    await copy.click()
    assert await ada.page.evaluate("window.said") == "Copied"
    assert await ada.page.evaluate("navigator.clipboard.readText()") == "echo 'a  b'"


async def test_the_view_follows_until_the_reader_scrolls_up(people: People) -> None:
    ada = await people.person(viewport={"width": 900, "height": 420})
    await ada.open()
    await ada.say(f"{LONG} every 8 ms")
    scroller = ada.page.locator("#scroller")
    await expect(ada.page.get_by_role("button", name="Jump to latest")).to_be_hidden()
    await expect(ada.prose.locator("h2").nth(2)).to_be_attached()
    assert await scroller.evaluate(STILL_OR_PAST, 200) > 200
    await scroller.hover()
    await ada.page.mouse.wheel(0, -150)
    jump = ada.page.get_by_role("button", name="Jump to latest")
    await expect(jump).to_be_visible()
    here = await scroller.evaluate(STILL_OR_PAST, math.inf)
    await ada.rest()
    assert await scroller.evaluate("node => node.scrollTop") == here
    await jump.click()
    await expect(jump).to_be_hidden()
    assert await scroller.evaluate("node => node.scrollHeight - node.scrollTop - node.clientHeight") <= 1
