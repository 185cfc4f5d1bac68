"""The fake of the model's API in a thread of its own, and what it saw: for stacks whose gateways call it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aiohttp import web

from tests.e2e.threaded import Threaded
from tests.fake_model_api import REQUESTS, build_app

if TYPE_CHECKING:
    from aiohttp.typedefs import Handler


class ModelApi(Threaded):
    """`keys`: what its callers paid with; `busy`: how many answers are being given now."""

    def __init__(self, host: str) -> None:
        self.keys: set[str] = set()
        self.busy = 0
        app = build_app()
        app.middlewares.append(self._watch())
        super().__init__(app, host)

    def prompts(self) -> list[str]:
        """The text of every user message in the newest request of an agent, oldest first."""
        messages = self._app[REQUESTS][-1]["messages"]
        return [_text(message["content"]) for message in messages if message["role"] == "user"]

    def _watch(self) -> Any:
        @web.middleware
        async def watch(request: web.Request, handler: Handler) -> web.StreamResponse:
            self.keys.add(request.headers.get("x-api-key", ""))
            self.busy += 1
            try:
                return await handler(request)
            finally:
                self.busy -= 1

        return watch


def _text(content: Any) -> str:
    if isinstance(content, str):
        return content
    return " ".join(block.get("text", "") for block in content)
