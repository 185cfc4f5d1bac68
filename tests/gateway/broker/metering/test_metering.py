"""Real calls through brokers on one table, against an API that counts for itself."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import time
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
from aiohttp import web

from container.protocol import sandbox_token
from gateway.broker.metering.prices import PRICES, USD
from gateway.broker.metering.usage import Usage
from gateway.broker.model_api import build_broker
from gateway.model import Mode, NewRun, OnBusy, RunState, Session
from gateway.sandboxes.drivers import Sandbox, SandboxState
from gateway.store import keys
from gateway.store.usage import Used, day_of
from tests.gateway.broker.metering.rows import eventually
from tests.gateway.broker.test_model_api import serve

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from aiohttp.typedefs import Handler

    from gateway.config import Settings
    from gateway.store.dynamo import DynamoStore

MODELS = ("claude-opus-4-6", "claude-haiku-4-5-20251001", "claude-sonnet-4-5")


class CountingApi:
    """The Messages API: says what it has used, and sums it up. `deltas`: how many a stream has."""

    def __init__(self) -> None:
        self.random = random.Random(7)
        self.counts: Counter[str] = Counter()
        self.cost = 0
        self.calls = 0
        self.deltas = 3
        self.usage: dict[str, int] | None = None
        self.pause = 0.0
        self.headers: list[Any] = []

    async def handle(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        self.headers.append(request.headers)
        self.calls += 1
        roll = self.random.randint
        usage: dict[str, Any] = self.usage or {
            "input_tokens": roll(0, 3000),
            "output_tokens": roll(1, 8),
            "cache_read_input_tokens": roll(0, 90_000),
            "cache_creation_input_tokens": (hour := roll(0, 500)) + roll(0, 500),
            "cache_creation": {"ephemeral_1h_input_tokens": hour},
        }
        output = roll(1, 2000)
        message = {"id": "m", "type": "message", "role": "assistant", "model": body["model"], "content": []}
        if not body.get("stream"):
            self._count(body["model"], {**usage, "output_tokens": output})
            return web.json_response({**message, "usage": {**usage, "output_tokens": output}})
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        await self._send(response, {"type": "message_start", "message": {**message, "usage": usage}})
        for _ in range(self.deltas):
            await asyncio.sleep(self.pause)
            delta = {"type": "text_delta", "text": "some words of it " * 4}
            await self._send(response, {"type": "content_block_delta", "index": 0, "delta": delta})
        await self._send(response, {"type": "message_delta", "delta": {}, "usage": {"output_tokens": output}})
        self._count(body["model"], {**usage, "output_tokens": output})
        await self._send(response, {"type": "message_stop"})
        return response

    async def _send(self, response: web.StreamResponse, event: dict[str, Any]) -> None:
        await response.write(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode())

    def _count(self, model: str, usage: dict[str, Any]) -> None:
        hour = usage.get("cache_creation", {}).get("ephemeral_1h_input_tokens", 0)
        used = Usage(
            input=usage["input_tokens"],
            output=usage["output_tokens"],
            cache_read=usage.get("cache_read_input_tokens", 0),
            cache_write_5m=usage.get("cache_creation_input_tokens", 0) - hour,
            cache_write_1h=hour,
        )
        for name in ("input", "output", "cache_read", "cache_write_5m", "cache_write_1h"):
            self.counts[name] += getattr(used, name)
        self.cost += PRICES[model.removesuffix("-20251001")].cost(used)


async def look(session: str) -> Sandbox:
    """Every session's sandbox runs, of a start that has no name: its key is the sandbox's own token."""
    return Sandbox(session=session, state=SandboxState.RUNNING)


class Bench:
    def __init__(self, settings: Settings, store: DynamoStore, api: CountingApi) -> None:
        self.settings = settings
        self.store = store
        self.api = api
        self.told: list[tuple[str, str, dict[str, Any]]] = []
        self.stack = contextlib.AsyncExitStack()
        self.urls: list[str] = []
        self.http: aiohttp.ClientSession

    async def tell(self, session: str, run: str, frame: dict[str, Any]) -> None:
        self.told.append((session, run, frame))

    async def brokers(self, count: int = 2, answer: Handler | None = None, **changes: Any) -> None:
        """So many gateways' brokers."""
        api = web.Application(client_max_size=64 * 1024 * 1024)
        api.router.add_route("*", "/{path:.*}", answer or self.api.handle)
        url = await serve(self.stack, api)
        self.settings = replace(self.settings, model_api_url=url, model_api_key="k", **changes)
        self.http = await self.stack.enter_async_context(aiohttp.ClientSession())
        for _ in range(count):
            shared = await self.stack.enter_async_context(aiohttp.ClientSession())
            self.urls.append(
                await serve(
                    self.stack, build_broker(self.settings, self.store, shared, tell=self.tell, look=look)
                )
            )

    async def begin_run(self, run: str, session: str = "s1") -> None:
        new = NewRun(
            id=run, session=session, owner="ada", message=f"m-{run}", prompt="p", mode=Mode.AGENT, cwd="/",
            created_at=time.time(),
        )  # fmt: skip
        await self.store.create_run(new, on_busy=OnBusy.QUEUE, queue_limit=9, gateway="g", lease_seconds=60)

    async def ask(
        self,
        *,
        model: str = MODELS[0],
        stream: bool = True,
        broker: int = 0,
        words: int = 1,
        session: str = "s1",
    ) -> tuple[int, bytes]:
        token = sandbox_token(self.settings.sandbox_secret.encode(), session)
        message = {"role": "user", "content": "w " * words}
        body = {"model": model, "max_tokens": 9, "stream": stream, "messages": [message]}
        url = f"{self.urls[broker]}/v1/messages"
        while True:
            async with self.http.post(url, json=body, headers={"x-api-key": token}) as response:
                if response.status != 503:  # the store is slow on a busy machine; agents ask again too
                    return response.status, await response.read()

    async def used(self, run: str = "") -> Used:
        return await self.store.usage.get(keys.usage_of_session("s1", run))

    async def today(self) -> Used:
        return await self.store.usage.get(keys.usage_of_user("ada", day_of(time.time())))


@pytest.fixture
async def bench(store: DynamoStore, store_settings: Settings) -> AsyncIterator[Bench]:
    for session in ("s1", "s2"):
        await store.create_session(
            Session(id=session, owner="ada", title="", created_at=time.time(), updated_at=time.time())
        )
    bench = Bench(store_settings, store, CountingApi())
    async with bench.stack:
        yield bench


async def test_the_figures_are_the_apis_own_over_many_runs(bench: Bench) -> None:
    """100 runs of a session, streams and whole answers of three models, some side by side, through two gateways."""
    await bench.brokers()
    names = []
    for number in range(100):
        run = f"r{number:03d}"
        names.append(run)
        await bench.begin_run(run)
        if number:
            await _end(bench.store, names[-2])
        answers = await asyncio.gather(
            *(
                bench.ask(model=MODELS[(number + at) % 3], stream=at != 1, broker=(number + at) % 2)
                for at in range(1 + number % 3)
            )
        )
        assert {status for status, _ in answers} == {200}
        assert all(b"message_stop" in body or b'"usage"' in body for _, body in answers)

    def counted(used: Used) -> tuple[int, dict[str, int]]:
        return used.cost, dict(used.counts)

    expected = (bench.api.cost, {**bench.api.counts, "calls": bench.api.calls})

    async def whole() -> bool:
        return counted(await bench.used()) == expected

    await eventually(whole, seconds=20)
    assert counted(await bench.today()) == expected
    assert counted(await bench.store.usage.get(keys.usage_of_stack(day_of(time.time())))) == expected
    runs = await bench.store.usage.get_many([keys.usage_of_session("s1", run) for run in names])
    assert len(runs) == 100
    assert sum(used.cost for used in runs.values()) == bench.api.cost
    assert (await bench.used()).held == bench.api.cost, "nothing is held behind the last call"


async def _end(store: DynamoStore, run: str) -> None:
    await store.request_stop("s1", run)
    found = await store.get_run("s1", run)
    await store.finish_run(
        found, state=RunState.STOPPED, reason="stopped", message=None, gateway="g", lease_seconds=60
    )


async def test_a_budget_of_ten_cents_cuts_in_mid_stream_and_tells_the_run(bench: Bench) -> None:
    await bench.brokers(budget_run_usd=0.1)
    await bench.begin_run("r1")
    bench.api.usage = {"input_tokens": 10_000, "output_tokens": 1}  # $0.05
    bench.api.deltas = 1_000_000
    status, body = await bench.ask()
    assert status == 200
    events = body.decode().split("\n\n")
    assert events[-1] == ""
    kind, data = events[-2].split("\n")
    assert kind == "event: error"
    error = json.loads(data.removeprefix("data: "))
    sentence = "This run's budget of $0.10 is used up: send another prompt to go on."
    assert error == {"type": "error", "error": {"type": "billing_error", "message": sentence}}
    for event in events[:-2]:
        json.loads(event.split("\n")[1].removeprefix("data: "))  # every event is whole
    tokens = -(-len("some words of it " * 4) // 3)
    assert len(events) - 3 == -(-int(0.05 * 1e6 / 25) // tokens), "the very event that reaches it is the last"
    await eventually(lambda: bool(bench.told))

    async def settled() -> bool:
        return (await bench.used("r1")).counts.get("estimated") == 1

    await eventually(settled)
    assert (await bench.used("r1")).cost == pytest.approx(0.1 * USD, abs=25_000 * tokens)
    status, body = await bench.ask(broker=1)
    assert (status, json.loads(body)) == (402, error)
    assert bench.api.calls == 1

    def codes() -> list[str]:
        return [frame.get("code", frame["type"]) for _, _, frame in bench.told]

    await eventually(lambda: "budget-exceeded" in codes())
    assert codes()[-1] == "budget-exceeded"
    assert set(codes()) <= {"budget", "budget-exceeded"}
    assert len(codes()) == len(set(codes()))


async def test_another_gateways_spending_cuts_a_stream_that_is_under_way(bench: Bench) -> None:
    await bench.brokers(budget_user_day_usd=1.0)
    bench.api.usage = {"input_tokens": 1000, "output_tokens": 1}
    bench.api.deltas = 1_000_000
    bench.api.pause = 0.01
    bodies = await asyncio.gather(
        *(bench.ask(broker=number % 2, session=f"s{1 + number % 2}") for number in range(8))
    )
    assert all(b"billing_error" in body for _, body in bodies)

    async def settled() -> bool:
        return (await bench.today()).counts.get("estimated") == 8

    await eventually(settled)
    used = await bench.today()
    # A slow table lets each write a little more; eight that did not see each other would spend eight dollars.
    assert USD <= used.cost < 4 * USD
    assert used.held == used.cost


async def test_ten_at_once_do_not_overshoot_by_ten_calls_worth(bench: Bench) -> None:
    await bench.brokers(budget_user_day_usd=1.0)
    await bench.store.usage.hold(keys.usage_of_user("ada", day_of(time.time())), 95 * USD // 100)
    await bench.store.usage.add(
        keys.usage_of_user("ada", day_of(time.time())), {}, cost=95 * USD // 100, held=0
    )
    bench.api.usage = {"input_tokens": 40_000, "output_tokens": 1}  # $0.20
    answers = await asyncio.gather(*(bench.ask(broker=at % 2, words=60_000) for at in range(10)))
    statuses = Counter(status for status, _ in answers)
    assert statuses[200] == 1
    assert set(statuses) <= {200, 402, 429}
    assert {json.loads(body)["error"]["type"] for status, body in answers if status != 200} <= {
        "billing_error",
        "rate_limit_error",
    }
    assert bench.api.calls == 1


async def test_the_answers_bytes_are_the_apis_own_and_never_packed(bench: Bench) -> None:
    await bench.brokers(count=1)
    bench.api.usage = {"input_tokens": 1, "output_tokens": 1}
    _, body = await bench.ask()
    assert body.count(b"event: ") == bench.api.deltas + 3
    assert bench.api.headers[0]["Accept-Encoding"] == "identity"


async def test_who_hangs_up_before_the_answer_pays_for_the_prompt(bench: Bench) -> None:
    async def silent(_: web.Request) -> web.StreamResponse:
        await asyncio.sleep(60)
        raise AssertionError

    await bench.brokers(count=1, answer=silent)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(bench.ask(words=30_000), 1.0)

    async def paid() -> bool:
        return (await bench.used()).counts.get("input", 0) > 20_000

    await eventually(paid)
