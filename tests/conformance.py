"""The Autobahn cases (by `kosoku`) against servers and clients of ours, judged beside bare aiohttp of the same version.

301 cases; those of permessage-deflate (12, 13) are left out, because compression is off everywhere here.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import kosoku
from aiohttp import ClientSession, ClientWebSocketResponse, WSMsgType, web

from container.protocol import Close

EXCLUDED = ("12.*", "13.*")
MESSAGE_LIMIT = 4 * 1024 * 1024
"""Of the reference, and of both relay endpoints: aiohttp's own default."""

CASE_SECONDS = 30.0
"""No case takes longer on loopback; a client that is not done by then hangs."""

Results: TypeAlias = "dict[str, Result]"


@dataclass(frozen=True, slots=True)
class Result:
    """What a case showed of a peer. `passed` is Autobahn's word: OK, NON-STRICT or INFORMATIONAL, close included."""

    case: str
    passed: bool
    verdict: str
    why: str
    close_code: int | None
    failed_by_peer: bool
    """The peer, not the suite, ended the connection, as it must after a violation."""
    pongs: tuple[bytes, ...]

    @property
    def ending(self) -> str:
        """Who ended the connection and how."""
        return f"{'peer' if self.failed_by_peer else 'suite'} {self.close_code or 'drop'}"

    @classmethod
    def of(cls, raw: Any) -> Result:
        """From kosoku's own."""
        close = raw.behavior_close.value
        return cls(
            case=raw.case_id,
            passed=raw.passed,
            verdict=raw.behavior.value
            if close in ("OK", raw.behavior.value)
            else f"{raw.behavior.value}/{close}",
            why=f"{raw.result} {raw.result_close}",
            close_code=raw.remote_close_code,
            failed_by_peer=not raw.closed_by_me,
            pongs=tuple(_bytes(event[1]) for event in raw.received if event[0] == "pong"),
        )


async def run_against_server(
    url: str, *, cases: Sequence[str] | None = None, concurrency: int = 8
) -> Results:
    """Every case (or `cases`) against the server at `url`, each on a connection of its own."""
    try:
        raw = await kosoku.run_fuzzingclient(url, cases, EXCLUDED, concurrency)
    except kosoku.FailureError as failure:
        raw = failure.results
    return {result.case_id: Result.of(result) for result in raw}


async def run_against_echo(url: str, *, concurrency: int = 8) -> Results:
    """Every case against an echo server, and those that fail again, one by one: the suite gives some of them a second
    of wall-clock time, which on a busy machine is theirs only when they run alone."""
    results = await run_against_server(url, concurrency=concurrency)
    failed = _worth_another_try(results)
    return results | (await run_against_server(url, cases=failed, concurrency=1) if failed else {})


async def run_violations_against_server(url: str, reference: Results) -> Results:
    """The `violations` of `reference` against a server that does not echo, and again, one by one, those that end in
    another way: where more is on its way to a peer that ends the connection, its reset may overtake its close frame."""
    results = await run_against_server(url, cases=violations(reference), concurrency=16)
    worse = [line.partition(":")[0] for line in worse_without_echo(reference, results)]
    return results | (await run_against_server(url, cases=worse, concurrency=1) if worse else {})


def _worth_another_try(results: Results) -> list[str]:
    """The cases that failed, but for those of messages over the limit, which fail anew."""
    return [
        case for case, result in results.items() if not result.passed and result.close_code != Close.TOO_BIG
    ]


RunCase: TypeAlias = Callable[[str, int], Awaitable[None]]
"""Given the suite's base URL and a case's number: be its client until the connection has ended."""


async def run_against_client(run_case: RunCase, *, cases: Sequence[str] | None = None) -> Results:
    """Every case (or `cases`) from a hostile server to the client `run_case`, and again those that fail, one by one:
    the suite waits a second for the answer to its close. Raises TimeoutError when one hangs."""
    results = await _run_against_client(run_case, cases, concurrency=8)
    failed = _worth_another_try(results)
    return results | (await _run_against_client(run_case, failed, concurrency=1) if failed else {})


async def _run_against_client(run_case: RunCase, cases: Sequence[str] | None, *, concurrency: int) -> Results:
    async with kosoku.run_fuzzingserver(cases, EXCLUDED, port=0) as server, ClientSession() as http:
        base = f"http://{server.address}:{server.port}"
        async with http.ws_connect(f"{base}/getCaseCount") as socket:
            numbers = iter(range(1, int((await socket.receive()).data) + 1))

        async def work() -> None:
            for number in numbers:
                async with asyncio.timeout(CASE_SECONDS):
                    await run_case(base, number)

        async with asyncio.TaskGroup() as workers:
            for _ in range(concurrency):
                workers.create_task(work())
        async with http.ws_connect(f"{base}/updateReports?agent=test") as socket:
            await socket.receive()
        try:
            raw = await asyncio.wait_for(server.get_result(), CASE_SECONDS)
        except kosoku.FailureError as failure:
            raw = failure.results
    return {result.case_id: Result.of(result) for result in raw}


async def echo(socket: web.WebSocketResponse | ClientWebSocketResponse[Any]) -> None:
    """Send back what comes, text as text and binary as binary, to the connection's end."""
    async for message in socket:
        if message.type is WSMsgType.TEXT:
            await socket.send_str(message.data)
        elif message.type is WSMsgType.BINARY:
            await socket.send_bytes(message.data)


async def reference_server(request: web.Request) -> web.WebSocketResponse:
    """Bare aiohttp as an echo server."""
    socket = web.WebSocketResponse(compress=False, max_msg_size=MESSAGE_LIMIT)
    await socket.prepare(request)
    await echo(socket)
    return socket


async def reference_client(base: str, number: int) -> None:
    """Bare aiohttp as an echo client."""
    async with (
        ClientSession() as http,
        http.ws_connect(f"{base}/runCase?case={number}&agent=test", max_msg_size=MESSAGE_LIMIT) as socket,
    ):
        await echo(socket)


def worse(reference: Results, ours: Results) -> list[str]:
    """A line for each case that bare aiohttp passes and we do not, or that we did not run to an end."""
    lines = []
    for case, result in reference.items():
        mine = ours.get(case)
        if mine is None:
            lines.append(f"{case}: not run")
        elif result.passed and not mine.passed:
            lines.append(f"{case}: {mine.verdict}, aiohttp {result.verdict}: {mine.why} ({mine.close_code})")
    return lines


def worse_without_echo(reference: Results, ours: Results) -> list[str]:
    """For an endpoint that does not echo: each violation is answered with the same close code as by bare aiohttp,
    and each ping with the same pong."""
    lines = []
    for case, mine in ours.items():
        wanted = reference[case]
        if wanted.failed_by_peer and (mine.close_code, mine.failed_by_peer) != (wanted.close_code, True):
            lines.append(f"{case}: closed with {mine.close_code}, aiohttp with {wanted.close_code}")
        if mine.pongs != wanted.pongs:
            lines.append(f"{case}: pongs {mine.pongs!r}, aiohttp {wanted.pongs!r}")
    return lines


def violations(reference: Results) -> list[str]:
    """The cases in which the peer must end the connection, and those of pings: what needs no echo to be judged."""
    return [
        case
        for case, result in reference.items()
        if (result.failed_by_peer and result.passed) or case.startswith("2.")
    ]


def table(columns: dict[str, Results], shown: Callable[[Result], str] = lambda result: result.verdict) -> str:
    """What is `shown` of the results counted by column, then a line for each case where the columns differ."""
    names = list(columns)
    lines = [f"{'':<22}" + "".join(f"{name:>22}" for name in names)]
    counts = {
        name: Counter(shown(result) for result in results.values()) for name, results in columns.items()
    }
    lines += [
        f"{what:<22}" + "".join(f"{counts[name][what]:>22}" for name in names)
        for what in sorted({what for count in counts.values() for what in count})
    ]
    for case in columns[names[0]]:
        cells = [shown(columns[name][case]) if case in columns[name] else "not run" for name in names]
        if len(set(cells)) > 1:
            lines.append(f"{case:<22}" + "".join(f"{cell:>22}" for cell in cells))
    return "\n".join(lines)


def _bytes(payload: Any) -> bytes:
    return payload if isinstance(payload, bytes) else str(payload).encode("latin-1")
