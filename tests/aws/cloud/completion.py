"""Stands in front of ministack for what it leaves out: client tokens, the end of a service's old deployments, tags that
go with a task's end, and scaling.

A server that hands every request on as it is, but RunTask: a client token starts one task, and a request of other
parameters with the same one is a conflict (ECS's reference, Ensuring idempotency); and Application Auto Scaling's.
"""

from __future__ import annotations

import asyncio
import json
from collections import defaultdict
from collections.abc import AsyncIterator, Mapping
from typing import Any, Final

import aiohttp
from aiohttp import web

from tests.aws.cloud.scaling import TARGET, StandInScaling

OF_ONE_LEG: Final = frozenset(
    {"host", "connection", "content-length", "transfer-encoding", "keep-alive", "expect", "date", "server"}
)
"""Headers that are not handed on."""

BODY_BYTES: Final = 64 * 1024 * 1024


class StandInCompletion:
    """One ministack's. `upstream`: its URL."""

    def __init__(self, upstream: str) -> None:
        self._upstream = upstream
        self._client: aiohttp.ClientSession | None = None
        self._turns: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self.scaling = StandInScaling()
        self._started: dict[str, tuple[dict[str, Any], bytes]] = {}

    def app(self) -> web.Application:
        """The server's application."""
        app = web.Application(client_max_size=BODY_BYTES)
        app.cleanup_ctx.append(self._open)
        app.router.add_route("*", "/{path:.*}", self._handle)
        return app

    async def _open(self, _app: web.Application) -> AsyncIterator[None]:
        async with aiohttp.ClientSession(auto_decompress=False) as self._client:
            yield

    async def _handle(self, request: web.Request) -> web.Response:
        body = await request.read()
        target = request.headers.get("X-Amz-Target", "")
        if target.startswith(TARGET):
            return self.scaling.answer(target.removeprefix(TARGET), body)
        operation = target.partition("AmazonEC2ContainerService")[2]
        if operation.endswith(".RunTask") and (token := json.loads(body).get("clientToken")):
            async with self._turns[token]:
                return await self._run_task(request, body, token)
        status, headers, answer = await self._pass_on(request, body)
        if operation.endswith(".DescribeTasks") and status == 200:
            answer = _without_tags_of_stopped(answer)
        elif operation.endswith(".DescribeServices") and status == 200:
            answer = _without_ended_deployments(answer)
        return web.Response(status=status, headers=headers, body=answer)

    async def _run_task(self, request: web.Request, body: bytes, token: str) -> web.Response:
        wanted = json.loads(body)
        before, answer = self._started.get(token, (None, b""))
        if before is None:
            status, headers, answer = await self._pass_on(request, body)
            if status == 200 and json.loads(answer)["tasks"]:
                self._started[token] = (wanted, answer)
            return web.Response(status=status, headers=headers, body=answer)
        if before == wanted:
            return web.Response(body=answer, content_type="application/x-amz-json-1.1")
        conflict = {
            "__type": "ConflictException",
            "message": "The client token is in use with other parameters.",
            "resourceIds": [task["taskArn"] for task in json.loads(answer)["tasks"]],
        }
        return web.json_response(conflict, status=400, content_type="application/x-amz-json-1.1")

    async def _pass_on(self, request: web.Request, body: bytes) -> tuple[int, dict[str, str], bytes]:
        assert self._client is not None
        headers = _handed_on(request.headers)
        async with self._client.request(
            request.method, self._upstream + str(request.rel_url), headers=headers, data=body
        ) as answer:
            return answer.status, _handed_on(answer.headers), await answer.read()


def _handed_on(headers: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in headers.items() if name.lower() not in OF_ONE_LEG}


def _without_tags_of_stopped(answer: bytes) -> bytes:
    """StopTask's reference: any tags associated with the task will be deleted."""
    told = json.loads(answer)
    for task in told["tasks"]:
        if task["lastStatus"] == "STOPPED":
            task["tags"] = []
    return json.dumps(told).encode()


def _without_ended_deployments(answer: bytes) -> bytes:
    """One whose tasks have been replaced is none any more (ECS's reference, Deployment); ministack keeps them all."""
    told = json.loads(answer)
    for service in told["services"]:
        newest = service["deployments"][:1]
        if newest and newest[0]["runningCount"] == service["desiredCount"]:
            service["deployments"] = newest
    return json.dumps(told).encode()
