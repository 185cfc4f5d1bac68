"""What stands in for the agent that ECS runs beside a task, as far as a gateway asks it."""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any, Self

from aiohttp import web

from gateway.concurrency.condition import Condition

if TYPE_CHECKING:
    from types import TracebackType

LONG = 600.0
"""Seconds that no test waits for."""


class StandInEcsAgent:
    """Stands in for the agent of ECS: answers as the developer guide has it (Task scale-in protection endpoint).

    `asked`: the bodies that were put, in order. `refusal`: what it says instead of doing so.
    """

    def __init__(self) -> None:
        self.asked: list[dict[str, Any]] = []
        self.refusal: dict[str, Any] | str = {}
        self.url = ""
        self._changed = Condition()
        self._exit = AsyncExitStack()

    async def __aenter__(self) -> Self:
        app = web.Application()
        app.router.add_put("/api/0123/task-protection/v1/state", self._put)
        runner = web.AppRunner(app)
        await runner.setup()
        self._exit.push_async_callback(runner.cleanup)
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{runner.addresses[0][1]}/api/0123"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._exit.aclose()

    async def _put(self, request: web.Request) -> web.Response:
        self.asked.append(await request.json())
        self._changed.notify_all()
        if isinstance(self.refusal, str):
            return web.Response(status=500, text=self.refusal)
        return web.json_response(
            self.refusal
            or {
                "protection": {
                    "ExpirationDate": None,
                    "ProtectionEnabled": self.asked[-1]["ProtectionEnabled"],
                    "TaskArn": "arn:aws:ecs:us-east-1:123456789012:task/shop/0123",
                }
            }
        )

    async def until(self, count: int) -> list[dict[str, Any]]:
        """All that was asked, once it was asked so often."""
        while len(self.asked) < count:
            await self._changed.wait(LONG)
        return self.asked
