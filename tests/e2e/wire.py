"""An answer from both of its ends: Chromium's own network events with their times, and what the store recorded."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from gateway.web.request.auth import mint
from tests.gateway.stack import SECRET

if TYPE_CHECKING:
    from playwright.async_api import Page

    from tests.e2e.people import Person

WATCH_TEXT = """() => {
  window.lengths = [];
  const changes = { childList: true, subtree: true, characterData: true };
  new MutationObserver(() => {
    const answer = [...document.querySelectorAll('[data-role="assistant"]')].at(-1);
    const text = answer?.querySelector(".answer-body")?.textContent ?? "";
    if (text.length !== window.lengths.at(-1)) window.lengths.push(text.length);
  }).observe(document.querySelector('[data-testid="transcript"]'), changes);
}"""


class Wire:
    """`addresses`: of all requests and WebSockets; `sockets`: of the latter alone. `frames`: those received, with the
    seconds on the browser's clock; `sent`: likewise."""

    def __init__(self) -> None:
        self.addresses: list[str] = []
        self.sockets: list[str] = []
        self.frames: list[tuple[float, dict[str, Any]]] = []
        self.sent: list[tuple[float, dict[str, Any]]] = []

    async def tap(self, page: Page) -> Wire:
        """Listen from now on."""
        protocol = await page.context.new_cdp_session(page)
        protocol.on("Network.requestWillBeSent", lambda event: self.addresses.append(event["request"]["url"]))
        protocol.on("Network.webSocketCreated", lambda event: self._opened(event["url"]))
        protocol.on("Network.webSocketFrameReceived", lambda event: self._take(event, self.frames))
        protocol.on("Network.webSocketFrameSent", lambda event: self._take(event, self.sent))
        await protocol.send("Network.enable")
        return self

    def of(self, kind: str) -> list[tuple[float, dict[str, Any]]]:
        """The received frames of a type."""
        return [(at, frame) for at, frame in self.frames if frame["type"] == kind]

    @property
    def numbers(self) -> list[int]:
        """The `seq` of every numbered frame, as they came."""
        return [frame["seq"] for _, frame in self.frames if "seq" in frame]

    def _opened(self, url: str) -> None:
        self.addresses.append(url)
        self.sockets.append(url)

    @staticmethod
    def _take(event: dict[str, Any], into: list[tuple[float, dict[str, Any]]]) -> None:
        if event["response"]["opcode"] == 1:
            lines = event["response"]["payloadData"].split("\n")
            into.extend((event["timestamp"], json.loads(line)) for line in lines)


async def recorded(person: Person, user: str = "ada") -> list[dict[str, Any]]:
    """The frames of the newest run of the session that is open, as the store has them."""
    headers = {"Authorization": f"Bearer {mint(user, 600, secret=SECRET)}"}
    request = person.page.context.request
    newest = f"{person.url}/api/sessions/{person.session}/messages?order=newest&limit=1"
    [message] = (await (await request.get(newest, headers=headers)).json())["messages"]
    replay = f"{person.url}/api/sdk/replay/{person.session}?run={message['run']}"
    lines = await (await request.get(replay, headers=headers)).text()
    return [json.loads(line) for line in lines.splitlines()]


async def order(person: Person) -> list[str]:
    """What the newest answer is made of, in its order: `prose`, `tool`, `turn-note`."""
    parts = person.answers.last.locator(".answer-body > *")
    shown: list[str] = await parts.evaluate_all(
        "nodes => nodes.map((node) => [...node.classList].find((name) => name !== 'card'))"
    )
    return shown


def text_of(frames: list[dict[str, Any]]) -> str:
    """The text of a run's frames."""
    return "".join(frame["text"] for frame in frames if frame["type"] == "text-delta")
