"""The page in Chromium when things break: reloads, lost networks, blocked WebSockets, dead gateways, several tabs."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest
from playwright.async_api import expect

from tests.e2e.people import PATIENCE_MS
from tests.e2e.wire import recorded, text_of
from tests.tunnel import Target, answer, tunnel

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from playwright.async_api import Request, Response, Route, WebSocketRoute

    from tests.e2e.people import People, Person
    from tests.gateway.stack import Gateway, Stack

pytestmark = pytest.mark.e2e

COUNT = "Count to 150 every 30 ms"
ENDLESS = "Count to 9999 every 30 ms"


def counted(last: int) -> str:
    """What the agent answers when it is asked to count."""
    return " ".join(str(number) for number in range(1, last + 1))


async def assert_counted(person: Person, last: int = 150) -> None:
    """The whole answer is there, each word once, and a reload shows the same."""
    await expect(person.prose).to_have_text(counted(last))
    await person.rest()
    await expect(person.answers).to_have_count(1)
    await person.page.reload()
    await expect(person.prose).to_have_text(counted(last))
    await expect(person.answers).to_have_count(1)


class Front:
    """What stands between a browser and its gateway: where it leads, whether WebSockets pass, and scissors."""

    def __init__(self, gateway: Gateway) -> None:
        self.gateway = gateway
        self.websockets = True
        self.away = False
        self.refused = 0
        self._cut = asyncio.Event()

    def cut(self) -> None:
        """Break every connection that is open."""
        self._cut.set()
        self._cut = asyncio.Event()

    @asynccontextmanager
    async def choose(self, head: bytes) -> AsyncIterator[Target | bytes]:
        if self.away:
            yield answer("502 Bad Gateway")
            return
        if not self.websockets and b"upgrade: websocket" in head.lower():
            self.refused += 1
            yield answer("403 Forbidden")
            return
        owner = asyncio.current_task()
        assert owner is not None

        async def cutter(cut: asyncio.Event) -> None:
            await cut.wait()
            owner.cancel()

        waiting = asyncio.create_task(cutter(self._cut))
        try:
            host, _, port = self.gateway.url.removeprefix("http://").partition(":")
            yield Target(host, int(port), head)
        finally:
            waiting.cancel()


async def test_a_reload_in_mid_answer_loses_nothing(people: People) -> None:
    ada = await people.person()
    await ada.open()
    await ada.say(COUNT)
    for number in (10, 40, 80):
        await expect(ada.prose).to_contain_text(f" {number} ")
        await ada.page.reload()
    await assert_counted(ada)


async def test_a_network_that_is_away_for_seconds_loses_nothing(people: People, stack: Stack) -> None:
    front = Front(stack.gateways[0])
    async with tunnel(front.choose) as port:
        ada = await people.person(url=f"http://127.0.0.1:{port}")
        await ada.open()
        await ada.say("Count to 400 every 30 ms")
        await expect(ada.prose).to_contain_text(" 20 ")
        front.away = True
        front.cut()
        await ada.page.context.set_offline(True)
        await expect(ada.see("connection")).to_have_text("Reconnecting")
        here = text_of(ada.frames).strip()
        await expect(ada.prose).to_have_text(here)
        assert not here.endswith("400")
        await asyncio.sleep(5)
        assert (await ada.prose.inner_text()).strip() == here
        assert len(ada.sockets) == 1
        front.away = False
        await ada.page.context.set_offline(False)
        await expect(ada.prose).to_contain_text(" 399 400")
        await ada.rest()
        assert len(ada.sockets) == 2
        assert await ada.prose.inner_text() == text_of(await recorded(ada)).strip()
        await expect(ada.answers).to_have_count(1)


async def test_the_networks_and_the_tabs_return_make_an_old_link_anew(people: People) -> None:
    ada = await people.person()
    await ada.open()
    await ada.say("Count to 1000 every 30 ms")
    await expect(ada.prose).to_contain_text(" 3 ")
    await ada.page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    await expect(ada.prose).to_contain_text(" 20 ")
    assert len(ada.sockets) == 1  # it spoke a moment ago
    async with ada.page.expect_websocket():
        await ada.return_after(60)
    await expect(ada.see("connection")).to_have_text("Live")
    async with ada.page.expect_websocket():
        await ada.page.evaluate("dispatchEvent(new Event('online'))")
    await expect(ada.see("connection")).to_have_text("Live")
    await ada.see("stop").click()
    await ada.rest()
    assert await ada.prose.inner_text() == text_of(await recorded(ada)).strip()


async def test_cut_connections_are_made_anew(people: People, stack: Stack) -> None:
    front = Front(stack.gateways[0])
    async with tunnel(front.choose) as port:
        ada = await people.person(url=f"http://127.0.0.1:{port}")
        await ada.open()
        await ada.say("Count to 600 every 30 ms")
        for number in (10, 30, 60, 90):
            await expect(ada.prose).to_contain_text(f" {number} ")
            async with ada.page.expect_websocket():
                front.cut()
            await expect(ada.see("connection")).to_have_text("Live")
        await assert_counted(ada, 600)
        assert len(ada.sockets) >= 5


async def test_blocked_websockets_fall_back_to_events_by_themselves(people: People, stack: Stack) -> None:
    front = Front(stack.gateways[0])
    front.websockets = False
    async with tunnel(front.choose) as port:
        ada = await people.person(url=f"http://127.0.0.1:{port}")
        await ada.open()
        await ada.say(COUNT)
        await expect(ada.see("connection")).to_have_text("Live (SSE)")
        await expect(ada.prose).to_contain_text(" 50 ")
        assert front.refused >= 2
        front.cut()
        await expect(ada.prose).to_have_text(counted(150))
        await ada.rest()
        refused = front.refused
        assert await ada.ask("Echo at once") == "at once"
        await ada.page.reload()
        await expect(ada.answers).to_have_count(2)
        assert await ada.ask("Echo after a reload") == "after a reload"
        assert front.refused == refused  # found out once for the tab
        front.websockets = True
        await ada.say(COUNT)
        async with ada.page.expect_websocket():  # tried beside the run, as the network may be another one
            await ada.page.evaluate("dispatchEvent(new Event('online'))")
        await ada.rest()
        assert await ada.ask("Echo over a WebSocket again") == "over a WebSocket again"
        assert ada.frames[-1]["type"] == "process-exit"


async def test_a_dead_gateway_hands_its_readers_to_another(people: People, stack: Stack) -> None:
    front = Front(stack.gateways[0])
    async with tunnel(front.choose) as port:
        ada = await people.person(url=f"http://127.0.0.1:{port}")
        await ada.open()
        await ada.say(COUNT)
        await expect(ada.prose).to_contain_text(" 20 ")
        stack.gateways[0].crash()
        front.gateway = await stack.add()
        front.cut()
        await assert_counted(ada)


async def test_two_tabs_show_the_same_run(people: People) -> None:
    ada = await people.person()
    await ada.open()
    await ada.ask("Echo first")
    other = await people.person(same_browser=ada)
    await other.page.goto(ada.page.url)
    await expect(other.prose).to_have_text("first")
    await ada.say(ENDLESS)
    await expect(ada.prose).to_contain_text(" 5 ")
    await expect(other.prose).to_contain_text(" 5 ")
    await expect(other.prompts.last.locator("p")).to_have_text(ENDLESS, use_inner_text=False)
    await other.see("stop").click()
    await ada.rest()
    await other.rest()
    kept = text_of(await recorded(ada)).strip()
    assert kept.startswith("1 2 3")
    for person in (ada, other):
        await expect(person.prose).to_have_text(kept)
        await expect(person.answers).to_have_count(2)


async def test_two_tabs_show_a_whole_run_each_word_once(people: People) -> None:
    ada = await people.person()
    await ada.open()
    await ada.new_session()
    other = await people.person(same_browser=ada)
    await other.page.goto(ada.page.url)
    await ada.say(COUNT)
    await expect(other.prose).to_contain_text(" 5 ")
    for person in (ada, other):
        await person.rest()
        assert await person.prose.inner_text() == text_of(await recorded(ada)).strip() == counted(150)
        await expect(person.answers).to_have_count(1)


async def test_a_closed_tab_leaves_the_run_going(people: People) -> None:
    ada = await people.person()
    await ada.open()
    await ada.say(COUNT)
    await expect(ada.prose).to_contain_text(" 3 ")
    address = ada.page.url
    await ada.page.close()
    later = await people.person()
    await later.open()
    await later.page.goto(address)
    await assert_counted(later)


async def test_a_file_of_the_page_that_is_lost_on_the_way_is_fetched_again(people: People) -> None:
    ada = await people.person()
    lost: list[str] = []

    async def lose(route: Route) -> None:
        if len(lost) < 3:
            lost.append(route.request.url)
            await route.abort("connectionreset")
        else:
            await route.fallback()

    await ada.page.route("**/format.js", lose)
    await ada.open()
    assert len(lost) == 3
    assert await ada.ask("Echo here") == "here"


async def test_a_page_that_loses_everything_but_its_document_is_fetched_again(people: People) -> None:
    ada = await people.person()
    lost: list[str] = []

    async def lose(route: Route) -> None:
        if not route.request.is_navigation_request() and len(lost) < 40:
            lost.append(route.request.url)
            await route.abort("connectionreset")
        else:
            await route.fallback()

    await ada.page.route("**/*", lose)
    await ada.open()
    assert len(lost) == 40
    assert not any("boot.js" in url for url in lost)


async def test_a_document_that_is_cut_off_is_fetched_again(people: People) -> None:
    ada = await people.person()
    served: list[int] = []

    async def cut(route: Route) -> None:
        if not route.request.is_navigation_request():
            await route.fallback()
            return
        response = await route.fetch()
        body = await response.body()
        parts = [len(body) // 3, len(body) * 2 // 3, body.index(b'<p id="broken"'), len(body)]
        served.append(parts[min(len(served), 3)])
        await route.fulfill(response=response, body=body[: served[-1]])

    await ada.page.route("**/*", cut)
    await ada.open()
    await expect(ada.page.locator("#broken")).to_be_attached()
    assert len(served) == 4
    ada.complaints.clear()  # of what they looked for in the part that was missing
    assert await ada.ask("Echo here") == "here"


async def test_a_file_that_is_never_answered_is_asked_for_again(people: People) -> None:
    ada = await people.person()
    held: list[Route] = []
    await ada.page.add_init_script(
        """const ask = window.setInterval;
        window.setInterval = (action, ms, ...rest) => ask(action, ms === 20_000 ? 1_000 : ms, ...rest);"""
    )

    async def hold(route: Route) -> None:
        if held:
            await route.fallback()
        else:
            held.append(route)

    await ada.page.route("**/page.js", hold)
    await ada.open()
    assert held
    assert await ada.ask("Echo here") == "here"


async def test_a_page_that_runs_is_not_loaded_again_for_what_it_got_at_last(people: People) -> None:
    ada = await people.person()
    await ada.page.add_init_script(
        """document.addEventListener("readystatechange", () => {
          const link = document.querySelector("link[rel=modulepreload]");
          if (document.readyState !== "interactive" || !link) return;  // A tab's first, empty document has none.
          link.dispatchEvent(new Event("error"));
          window.failed = true;
        })"""
    )
    await ada.open()
    assert await ada.page.evaluate("window.failed")
    # A reload would come within 200 ms, and end this.
    await ada.page.evaluate("new Promise((resolve) => setTimeout(resolve, 1000))")


async def test_a_style_sheet_that_never_comes_is_not_asked_for_without_end(people: People) -> None:
    ada = await people.person()
    count = "vaporforge.reloads"
    await ada.page.add_init_script(  # A tab's first, empty document may not use storage.
        f"if (location.protocol === 'http:') sessionStorage.setItem('{count}', sessionStorage.getItem('{count}') ?? 5)"
    )
    await ada.page.route("**/transcript.css", lambda route: route.abort())
    loads: list[str] = []

    def note(request: Request) -> None:
        if request.is_navigation_request():
            loads.append(request.url)

    ada.page.on("request", note)
    await ada.page.goto(ada.url)
    await expect(ada.page.get_by_text("The page could not be loaded completely")).to_be_visible()
    assert await ada.page.evaluate(f"sessionStorage.getItem('{count}')") == "7"
    assert len(loads) == 2


async def test_a_page_that_does_not_run_takes_no_prompt_without_its_first_style_sheet_either(
    people: People,
) -> None:
    ada = await people.person()
    await ada.page.add_init_script(
        "if (location.protocol === 'http:') sessionStorage.setItem('vaporforge.reloads', 6)"
    )
    for name in ("base.css", "page.js"):
        await ada.page.route(f"**/{name}", lambda route: route.abort())
    await ada.page.goto(ada.url)
    await expect(ada.page.get_by_text("The page could not be loaded completely")).to_be_visible()
    await expect(ada.see("prompt")).to_be_hidden()


async def test_what_is_lost_before_the_page_is_parsed_is_told_all_the_same(people: People) -> None:
    ada = await people.person()
    await ada.page.add_init_script(
        """if (location.protocol === "http:") {
          sessionStorage.setItem("vaporforge.reloads", 6);
          const listen = window.addEventListener;
          window.addEventListener = (type, ...rest) => {
            listen.call(window, type, ...rest);
            if (type !== "error") return;
            const link = Object.assign(document.createElement("link"), { rel: "stylesheet" });
            document.head.append(link);
            window.early = document.getElementById("broken") === null;
            link.dispatchEvent(new Event("error"));
          };
        }"""
    )
    await ada.page.goto(ada.url)
    await expect(ada.page.get_by_text("The page could not be loaded completely")).to_be_visible()
    assert await ada.page.evaluate("window.early")


async def test_frames_that_come_after_the_recorded_answer_show_it_once(people: People) -> None:
    ada = await people.person()
    sockets: list[WebSocketRoute] = []
    late: list[str | bytes] = []
    recorded, released = asyncio.Event(), asyncio.Event()

    async def look(response: Response) -> None:
        if "/messages?" in response.url and '"content":"second"' in (await response.text()).replace(
            ": ", ":"
        ):
            recorded.set()

    def hold(socket: WebSocketRoute) -> None:
        """Pass everything on, but of the second socket only how long its prompt waits, until `released`."""
        server = socket.connect_to_server()
        sockets.append(socket)

        def pass_on(data: str | bytes) -> None:
            if socket is sockets[0] or released.is_set() or '"queued"' in str(data):
                socket.send(data)
            else:
                late.append(data)

        server.on_message(pass_on)
        server.on_close(lambda code, reason: None)  # its frames come first

    ada.page.on("response", look)
    await ada.page.route_web_socket("**/api/sdk/ws?*", hold)
    await ada.open()
    await ada.say("Count to 100000 every 30 ms")
    await expect(ada.prose).to_contain_text("1 2 3")
    await ada.say("Echo second")
    await expect(ada.see("queued-prompt")).to_have_count(1)
    await ada.see("stop").click()
    async with asyncio.timeout(PATIENCE_MS / 1000):
        await recorded.wait()
    released.set()
    for data in late:
        sockets[1].send(data)
    await ada.rest()
    counted, *more = await ada.page.locator(".prose").all_inner_texts()
    assert counted.startswith("1 2 3")
    assert more == ["second"]


async def test_the_client_streams_in_the_browser_as_in_node(people: People) -> None:
    ada = await people.person()
    await ada.open()
    await ada.new_session()
    events = await ada.page.evaluate(
        """async (sessionId) => {
          const { createClient } = await import("/client/client.js");
          const { streamWs } = createClient({ token: localStorage.getItem("vaporforge.token") });
          const events = [];
          const prompt = "Create a file called a.txt with 'x'";
          for await (const event of streamWs({ sessionId, prompt })) events.push(event);
          return events;
        }""",
        ada.session,
    )
    numbered = [event for event in events if "seq" in event]
    assert [event["seq"] for event in numbered] == list(range(1, len(numbered) + 1))
    assert {"run", "session-init", "text", "tool-start", "tool-result", "done"} <= {e["type"] for e in events}
    assert events[-1] == {
        "type": "ws-exit",
        "exitCode": 0,
        "reason": "completed",
        "run": numbered[0]["run"],
        "seq": len(numbered),
    }
