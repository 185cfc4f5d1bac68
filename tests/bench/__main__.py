"""`scripts/bench`: measures, prints tables, and writes everything as JSON when asked to."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import platform
import sys
import tempfile
import time
from collections import defaultdict
from dataclasses import asdict
from pathlib import Path
from typing import Any

import aiohttp
import uvloop
from yarl import URL

from infra.generated import NAMES
from tests.bench import live, networks, pool, redaction, relay, rotation, stdout, store
from tests.bench.direct import DirectSdk
from tests.bench.figures import shown, summary, table
from tests.bench.latency import PHASES, PROMPT, Browser
from tests.bench.processes import dynamodb, fake_model, gateway, nginx, process, wait_open
from tests.conftest import free_port

STATES = ("cold", "warm", "second")
TOTALS = ("first frame", "agent's first frame", "first text")
FLOODS = (
    ("1 connection", 1, 1),
    ("50 connections", 50, 1),
    ("100 connections", 100, 1),
    ("1 connection, 256 frames a write", 1, 256),
)
"""(name, connections, frames in each of the upstream's writes)"""
PARTS = ("latency", "live", "relay", "stdout", "store")
DOCKER_PARTS = ("pool", "networks", "rotation")
"""Those that want a Docker engine: only when they are named."""

Samples = dict[str, dict[str, list[float]]]
"""By state, then by phase: milliseconds, one of each round."""


def main() -> None:
    """Measure what the arguments say."""
    parser = argparse.ArgumentParser(prog="scripts/bench", description=__doc__)
    parser.add_argument("--rounds", type=int, default=7, help="rounds of each measurement (default: 7)")
    parser.add_argument(
        "--typing", type=float, default=5.0, help="seconds from opening a session to its first prompt"
    )
    parser.add_argument(
        "--agents", default="demo,claude", help="demo, claude or both (default), on this machine"
    )
    parser.add_argument(
        "--parts",
        default=",".join(PARTS),
        help=f"of {', '.join(PARTS)} (default: these), {', '.join(DOCKER_PARTS)}",
    )
    parser.add_argument("--frames", type=int, default=50_000, help="frames of each flood (default: 50000)")
    parser.add_argument("--idle", type=int, default=200, help="idle relayed connections (default: 200)")
    parser.add_argument("--sessions", type=int, default=50, help="sessions, and pool (default: 50)")
    parser.add_argument(
        "--secrets", default=",".join(NAMES), help=f"rotation: which (default: {','.join(NAMES)})"
    )
    parser.add_argument("--url", help="measure the latency of a deployed stack instead of this machine's")
    parser.add_argument("--token", help="a token for --url")
    parser.add_argument("--json", type=Path, help="write every figure to this file")
    arguments = parser.parse_args()
    if bool(arguments.url) != bool(arguments.token):
        parser.error("--url and --token go together")
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        figures = runner.run(_deployed(arguments) if arguments.url else _local(arguments))
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=1) + "\n")


def say(text: str) -> None:
    """A line or a table for who runs this."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


async def _deployed(arguments: argparse.Namespace) -> dict[str, Any]:
    async with _http() as http:
        browser = Browser(http, arguments.url.rstrip("/"), arguments.token)
        samples = _new_samples()
        for _ in range(arguments.rounds):
            await _round(browser, "demo", arguments.typing, samples)
    return {"machine": _machine(), "latency": {"deployed": _show_latency("deployed", samples, None)}}


async def _local(arguments: argparse.Namespace) -> dict[str, Any]:
    parts = arguments.parts.split(",")
    figures: dict[str, Any] = {"machine": _machine()}
    say(f"{figures['machine']}")
    async with contextlib.AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="vaporforge-bench-")))
        folder.chmod(0o755)  # nginx's workers are another user
        endpoint = await stack.enter_async_context(dynamodb(folder))
        http = await stack.enter_async_context(_http())
        if "latency" in parts:
            figures["latency"] = await _latency(arguments, folder, endpoint, http)
        if "live" in parts:
            figures["live"] = await _live(arguments, folder, endpoint, http)
        if "relay" in parts:
            figures["relay"] = await _relay(arguments, folder, endpoint, http)
        if "stdout" in parts:
            figures["stdout"] = await _stdout(arguments, folder, endpoint, http)
        if "store" in parts:
            figures["store"] = await _store(arguments, endpoint)
        if "pool" in parts:
            figures["pool"] = await _pool(arguments, folder, endpoint)
        if "networks" in parts:
            figures["networks"] = await networks.measure(arguments.sessions)
            say(networks.shown(figures["networks"], relay.load()))
        if "rotation" in parts:
            figures["rotation"] = await rotation.measure(
                folder / "rotation", arguments.secrets.split(","), say
            )
            say(rotation.shown(figures["rotation"], relay.load()))
    return figures


async def _latency(
    arguments: argparse.Namespace, folder: Path, endpoint: str, http: aiohttp.ClientSession
) -> dict[str, Any]:
    figures = {}
    for agent in arguments.agents.split(","):
        samples = _new_samples()
        direct_samples: Samples | None = _new_samples() if agent == "claude" else None
        async with fake_model(folder) as model_url:
            changes = {
                "agent": agent,
                "model_api_url": model_url,
                "model_api_key": "bench",
                "log_level": "WARNING",
            }
            async with gateway(folder / f"latency-{agent}", endpoint, **changes) as local:
                for number in range(arguments.rounds):
                    await _round(Browser(http, local.url, local.token), agent, arguments.typing, samples)
                    if direct_samples is not None:
                        sdk = DirectSdk(model_url, folder / f"direct-{number}")
                        _add(direct_samples, await sdk.round(arguments.typing))
        figures[agent] = _show_latency(agent, samples, direct_samples)
    return figures


async def _round(browser: Browser, agent: str, typing_seconds: float, samples: Samples) -> None:
    """One of each: a session that has no sandbox, one that was opened a while ago, and that one again."""
    session, cold = await browser.ask(None, PROMPT[agent])
    await browser.delete(session)
    session = await browser.session()
    await browser.open(session)
    await asyncio.sleep(typing_seconds)
    _, warm = await browser.ask(session, PROMPT[agent])
    _, second = await browser.ask(session, PROMPT[agent])
    await browser.delete(session)
    _add(samples, {"cold": cold, "warm": warm, "second": second})


def _show_latency(agent: str, samples: Samples, direct: Samples | None) -> dict[str, Any]:
    figures = {state: {phase: summary(found) for phase, found in samples[state].items()} for state in STATES}
    rows = [
        [phase, *(shown(figures[state][phase]) if phase in figures[state] else "" for state in STATES)]
        for phase in (*PHASES, *TOTALS)
    ]
    if direct is not None:
        for state in STATES:
            figures[f"direct {state}"] = {phase: summary(found) for phase, found in direct[state].items()}
        for phase in TOTALS[1:]:
            rows.append(
                [f"SDK directly: {phase}", *(shown(figures[f"direct {state}"][phase]) for state in STATES)]
            )
            ratios = [
                figures[state][phase]["median"] / figures[f"direct {state}"][phase]["median"]
                for state in STATES
            ]
            rows.append([f"ratio: {phase}", *(f"{ratio:.2f}" for ratio in ratios)])
    rounds = len(next(iter(samples["cold"].values())))
    say(table(f"{agent}: milliseconds, median (least-most) of {rounds}; {relay.load()}", ["", *STATES], rows))
    return figures


async def _live(
    arguments: argparse.Namespace, folder: Path, endpoint: str, http: aiohttp.ClientSession
) -> dict[str, Any]:
    found: dict[str, list[live.Live]] = defaultdict(list)
    async with gateway(folder / "live", endpoint, agent="demo", log_level="WARNING") as local:
        browser = Browser(http, local.url, local.token)
        for _ in range(min(3, arguments.rounds)):
            for batch in (True, False):
                found["batch=1" if batch else "one by one"].append(
                    await live.stream(browser, local, arguments.frames, batch=batch)
                )
    figures = {
        name: {key: summary(asdict(each)[key] for each in lives) for key in asdict(lives[0])}
        for name, lives in found.items()
    }
    rows = [
        [key.replace("_", " "), *(shown(figure[key]) for figure in figures.values())]
        for key in asdict(found["batch=1"][0])
    ]
    say(table(f"a live run, recorded: µs of processor a frame, KiB; {relay.load()}", ["", *figures], rows))
    return figures


async def _relay(
    arguments: argparse.Namespace, folder: Path, endpoint: str, http: aiohttp.ClientSession
) -> dict[str, Any]:
    upstream = free_port()
    log = folder / "upstream.log"
    async with contextlib.AsyncExitStack() as stack:
        upstream_pid = await stack.enter_async_context(
            process([sys.executable, "-m", "tests.bench.upstream", str(upstream)], log)
        )
        await wait_open(upstream, log)
        nginx_port, nginx_pid = await stack.enter_async_context(nginx(folder / "nginx", upstream))
        local = await stack.enter_async_context(
            gateway(
                folder / "relay",
                endpoint,
                argv=("-m", "tests.bench.relay_gateway", str(upstream)),
                log_level="WARNING",
                user_connections="1000",
                address_connections="1000",
            )
        )
        session = await Browser(http, local.url, local.token).session()
        headers = {"Authorization": f"Bearer {local.token}"}
        path = f"/relay?sessionId={session}"
        ways = [
            relay.Way("directly", URL(f"http://127.0.0.1:{upstream}{path}"), headers, ()),
            relay.Way(
                "nginx", URL(f"http://127.0.0.1:{nginx_port}{path}"), headers, relay.workers(nginx_pid)
            ),
            relay.Way("gateway", URL(local.url + path), headers, (local.pid,)),
        ]
        # The client blocks: in a thread, so that it waits for the wire alone.
        return await asyncio.to_thread(_race, ways, upstream_pid, arguments)


async def _store(arguments: argparse.Namespace, endpoint: str) -> dict[str, Any]:
    """What encrypting costs: µs an operation with it and without, and the ratio."""
    processor, clock = await store.measure(endpoint, arguments.rounds)
    figures = {
        operation: {
            f"{kind}, {way}": summary(found[operation][way])
            for kind, found in (("processor", processor), ("clock", clock))
            for way in (store.PLAIN, store.ENCRYPTED)
        }
        for operation in processor
    }
    rows = []
    for operation, figure in figures.items():
        pairs = [
            [figure[f"{kind}, {way}"]["median"] for way in (store.PLAIN, store.ENCRYPTED)]
            for kind in ("processor", "clock")
        ]
        cells = [f"{value:.0f}" for pair in pairs for value in pair]
        rows.append([operation, *cells, *(f"{pair[1] / pair[0]:.3f}" for pair in pairs)])
    header = ["", "cpu plain", "encrypted", "clock plain", "encrypted", "cpu ratio", "clock ratio"]
    say(table(f"the store: µs an operation; {relay.load()}", header, rows))
    return figures


async def _stdout(
    arguments: argparse.Namespace, folder: Path, endpoint: str, http: aiohttp.ClientSession
) -> dict[str, Any]:
    """Lines a second, from the agent's stdout to the client."""
    found: dict[str, list[float]] = defaultdict(list)
    changes = {"agent": stdout.AGENT, "log_level": "WARNING"}
    async with (
        stdout.websocketd(folder) as url,
        gateway(folder / "stdout", endpoint, **changes) as local,
        gateway(folder / "unredacted", endpoint, **changes, redact="false") as unredacted,
    ):
        ways = []
        for name, place, batch in (
            ("batch=1", local, "1"),
            ("one by one", local, "0"),
            ("batch=1, redact: false", unredacted, "1"),
        ):
            session, _ = await Browser(http, place.url, place.token).ask(None, "flood 1")
            flood = {"sessionId": session, "prompt": f"flood {arguments.frames}", "batch": batch}
            url_of = URL(f"{place.url}/api/sdk/ws").with_query(flood)
            ways.append(relay.Way(name, url_of, {"Authorization": f"Bearer {place.token}"}, (place.pid,)))
        plain = relay.Way("websocketd", url, {}, ())
        for _ in range(arguments.rounds):
            asked = stdout.query(arguments.frames)
            for way, ask in ((plain, asked), *((way, None) for way in ways)):
                for before in ways:  # a recorder is not done with its run when the client is
                    await asyncio.to_thread(relay.settle, before)
                found[way.name].append(
                    await asyncio.to_thread(stdout.lines_a_second, way, ask, arguments.frames)
                )
    figures = {name: summary(values) for name, values in found.items()}
    base = figures["websocketd"]["median"]
    rows = [[name, shown(figure), f"{figure['median'] / base:.2f}"] for name, figure in figures.items()]
    say(table(f"an agent's lines; {relay.load()}", ["", "lines a second", "of websocketd's"], rows))
    return figures | _redaction(arguments, folder)


def _redaction(arguments: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """CPU time a line from an agent's bytes to the frame log, with and without looking for secrets."""
    found: dict[str, list[float]] = defaultdict(list)
    for _ in range(arguments.rounds):
        for reads in ("64 KiB a read", "a line a read"):
            for way, redactor in redaction.WAYS.items():
                found[f"{reads}, {way}"].append(
                    redaction.microseconds_a_line(
                        folder, arguments.frames, at_once=reads.startswith("64"), redactor=redactor()
                    )
                )
    figures = {name: summary(values) for name, values in found.items()}
    rows = [
        [
            name,
            shown(figure, 2),
            f"{figure['median'] / figures[name.rpartition(', ')[0] + ', not redacted']['median']:.2f}",
        ]
        for name, figure in figures.items()
    ]
    say(
        table(
            f"the agent server's part of it; {relay.load()}", ["", "CPU µs a line", "of not redacted"], rows
        )
    )
    return figures


async def _pool(arguments: argparse.Namespace, folder: Path, endpoint: str) -> dict[str, Any]:
    rounds = min(3, arguments.rounds)
    found = await pool.race(folder, endpoint, sessions=arguments.sessions, rounds=rounds)
    figures = {
        way: {
            "p50": pool.percentile(took, 0.5),
            "p99": pool.percentile(took, 0.99),
            "least": min(took),
            "n": len(took),
        }
        for way, took in found.items()
    }
    rows = [
        [way, *(f"{figure[key]:.0f}" for key in ("p50", "p99", "least"))] for way, figure in figures.items()
    ]
    title = (
        f"{arguments.sessions} sessions at once until each has its sandbox, {rounds} rounds; {relay.load()}"
    )
    say(table(title, ["milliseconds", "p50", "p99", "least"], rows))
    return figures


def _race(ways: list[relay.Way], upstream: int, arguments: argparse.Namespace) -> dict[str, Any]:
    where = relay.place(ways, upstream)
    samples: dict[str, dict[str, list[float]]] = {way.name: defaultdict(list) for way in ways}
    for way in ways:
        relay.round_trips(way, 200)
    for way in ways[1:]:  # before the floods, whose buffers would be used again
        samples[way.name]["idle connection, KiB"].append(relay.idle_memory(way, arguments.idle))
    for _ in range(arguments.rounds):
        for way in ways:
            took = sorted(relay.round_trips(way, 1000))
            samples[way.name]["round trip p50, µs"].append(took[len(took) // 2])
            samples[way.name]["round trip p99, µs"].append(took[len(took) * 99 // 100])
            for name, connections, by in FLOODS:
                speed, cpu = relay.flood(way, connections, arguments.frames // connections, by)
                samples[way.name][f"{name}: frames/s"].append(speed)
                samples[way.name][f"{name}: CPU µs/frame"].append(cpu)
    figures = {
        name: {what: summary(values) for what, values in found.items()} for name, found in samples.items()
    }
    rows = []
    for what in samples[ways[-1].name]:
        digits = 1 if "CPU" in what or "KiB" in what else 0
        cells = [shown(figures[way.name][what], digits) if what in figures[way.name] else "" for way in ways]
        ratio = figures["gateway"][what]["median"] / figures["nginx"][what]["median"]
        rows.append([what, *cells, f"{ratio:.2f}"])
    say(table(f"relay of 200 B frames, {where}; {relay.load()}", ["", *figures, "gateway / nginx"], rows))
    return figures


def _http() -> aiohttp.ClientSession:
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0), timeout=aiohttp.ClientTimeout(total=180)
    )


def _new_samples() -> Samples:
    return {state: defaultdict(list) for state in STATES}


def _add(samples: Samples, found: dict[str, dict[str, float]]) -> None:
    for state, phases in found.items():
        for phase, milliseconds in phases.items():
            samples[state][phase].append(milliseconds)


def _machine() -> str:
    when = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime())
    return f"{when}, Python {platform.python_version()}, aiohttp {aiohttp.__version__}, {relay.load()}"


if __name__ == "__main__":
    main()
