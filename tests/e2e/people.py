"""People who use the page: what they open, type and see; and what their browsers complained about."""

from __future__ import annotations

import asyncio
import json
import re
from typing import TYPE_CHECKING, Any, Protocol

from playwright.async_api import Error, expect

from gateway.web.request.auth import mint
from tests.gateway.stack import SECRET

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from playwright.async_api import Browser, BrowserContext, ConsoleMessage, Locator, Page, WebSocket

PATIENCE_MS = 45_000

MOST_CHANGES = 5
"""Loads of one page that a change of the machine's addresses may end."""

GIVEN_UP = ("net::ERR_NETWORK_CHANGED", "is interrupted by another navigation to", "navigation to finish")
"""How it says so: of the load itself; of one that the error's page, or the page's own next try (boot.js), comes upon;
and of one that it has dropped without a word."""


async def until(holds: Callable[[], bool], seconds: float = 180) -> None:
    """Poll what only blocking calls tell. Raises `TimeoutError`."""
    async with asyncio.timeout(seconds):
        while not await asyncio.to_thread(holds):
            await asyncio.sleep(0.05)


def steady(page: Page) -> Page:
    """A page that is loaded again where Chromium gave it up, as it does with all that it loads when an address of the
    machine comes or goes: of Docker's bridges and containers, beside these tests."""
    for name in ("goto", "reload"):
        setattr(page, name, _steady(getattr(page, name)))
    return page


def _steady(load: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
    async def again(*args: Any, **named: Any) -> Any:
        for _ in range(MOST_CHANGES):
            try:
                return await load(*args, **named)
            except Error as error:
                if not any(said in error.message for said in GIVEN_UP):
                    raise
        return await load(*args, **named)

    return again


class Site(Protocol):
    """What people visit: a gateway of a test, or a deployed stack."""

    @property
    def url(self) -> str: ...


class Person:
    """One browser tab of a user who is logged in; `frames`: what came over its WebSockets, with their arrival in ms.
    `secret`: signs the user's token."""

    def __init__(self, page: Page, url: str, patience: float = PATIENCE_MS, secret: str = SECRET) -> None:
        self.page = steady(page)
        self.patience = patience
        self.secret = secret
        self.url = url
        self.sockets: list[str] = []
        self.sent: list[dict[str, Any]] = []
        self.frames: list[dict[str, Any]] = []
        self.complaints: list[str] = []
        page.set_default_timeout(patience)
        page.on("websocket", self._opened)
        page.on("console", self._logged)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))

    def _opened(self, socket: WebSocket) -> None:
        self.sockets.append(socket.url)
        if "/api/sdk/terminal" in socket.url:
            return  # bytes
        socket.on("framesent", lambda data: self.sent.append(json.loads(data)))
        socket.on("framereceived", lambda data: self.frames.extend(map(json.loads, str(data).split("\n"))))

    def _logged(self, message: ConsoleMessage) -> None:
        if re.search(r"Content.Security.Policy|Refused to|Uncaught", message.text):
            self.complaints.append(message.text)

    def see(self, testid: str) -> Locator:
        return self.page.get_by_test_id(testid)

    @property
    def answers(self) -> Locator:
        return self.page.locator('[data-testid="message"][data-role="assistant"]:visible')

    @property
    def prompts(self) -> Locator:
        return self.page.locator('[data-testid="message"][data-role="user"]:visible')

    @property
    def texts(self) -> Locator:
        """Those of the last answer, with tools between them. Until a prompt's own has begun that is the one before."""
        return self.answers.last.locator(".prose")

    @property
    def prose(self) -> Locator:
        """The last text of the last answer."""
        return self.texts.last

    async def open(self, path: str = "/", user: str = "ada") -> None:
        """Open the page with a token in the address, as `scripts/up` prints it."""
        address = f"{self.url}/#token={mint(user, 600, secret=self.secret)}"
        await self.page.goto(address)
        try:
            await expect(self.see("prompt")).to_be_visible()
        except AssertionError as error:
            if not any(said in str(error) for said in GIVEN_UP):
                raise
            await self.page.goto(address)
            await expect(self.see("prompt")).to_be_visible()
        if path != "/":
            await self.page.goto(f"{self.url}{path}")

    async def new_session(self) -> str:
        """Click for a new session; returns its id."""
        before = self.page.url
        await self.see("new-session").click()
        await self.page.wait_for_url(lambda url: url != before and "#/s/" in url)
        return self.session

    @property
    def session(self) -> str:
        return self.page.url.partition("#/s/")[2].partition("/")[0]

    async def say(self, prompt: str) -> None:
        """Type a prompt and press Enter, which on a phone begins a new line: there, tap the button."""
        await self.see("prompt").fill(prompt)
        if await self.page.evaluate("matchMedia('(pointer: coarse)').matches"):
            await self.see("send").tap()
        else:
            await self.see("prompt").press("Enter")

    async def ask(self, prompt: str) -> str:
        """Say something and wait for the whole answer; its text."""
        known = await self.answers.count()
        await self.say(prompt)
        await expect(self.answers).to_have_count(known + 1)
        await self.rest()
        return await self.answers.last.locator(".answer-body").inner_text()

    async def return_after(self, seconds: int) -> None:
        """Come back to the tab when its computer has slept for so long: its clock went on, and nothing else did."""
        await self.page.evaluate(
            """(ms) => {
              const now = Date.now;
              Date.now = () => now() + ms;
              document.dispatchEvent(new Event("visibilitychange"));
            }""",
            seconds * 1000,
        )

    async def rest(self) -> None:
        """Wait until no run is on and no prompt waits."""
        await expect(self.see("stop")).to_be_hidden(timeout=self.patience)
        await expect(self.see("queued-prompt")).to_have_count(0)
        await expect(self.page.locator('[aria-busy="true"]')).to_have_count(0)


class People:
    """Makes persons; `leave` closes their browsers, keeps a picture of what they saw, and repeats their complaints."""

    def __init__(
        self,
        browser: Browser,
        site: Site,
        pictures: Path,
        name: str,
        patience: float = PATIENCE_MS,
        secret: str = SECRET,
    ) -> None:
        self._browser = browser
        self._site = site
        self._patience = patience
        self._secret = secret
        self._pictures = pictures
        self._name = re.sub(r"\W+", "-", name)
        self._persons: list[Person] = []
        self._contexts: list[BrowserContext] = []

    async def person(self, *, url: str = "", same_browser: Person | None = None, **options: Any) -> Person:
        """A new tab: of `same_browser`, or of a browser profile of its own with Playwright's context `options`."""
        if same_browser is None:
            context = await self._browser.new_context(**options)
            self._contexts.append(context)
        else:
            context = same_browser.page.context
        person = Person(await context.new_page(), url or self._site.url, self._patience, self._secret)
        self._persons.append(person)
        return person

    async def leave(self) -> None:
        """Close everything. Raises `AssertionError` when a page had an error or broke its security policy."""
        self._pictures.mkdir(parents=True, exist_ok=True)
        for index, person in enumerate(self._persons):
            if not person.page.is_closed():
                await person.page.screenshot(path=self._pictures / f"{self._name}-{index}.png")
        for context in self._contexts:
            await context.close()
        complaints = [text for person in self._persons for text in person.complaints]
        assert not complaints, complaints
