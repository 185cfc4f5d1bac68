"""The forces against small servers of the test's own: what they send and tell, and that they stay within bounds."""

from __future__ import annotations

import asyncio
import sys
import zlib

import pytest

from tests.attack.families.hostile import refusals
from tests.attack.force.fire import Fire, fire
from tests.attack.force.flood import Flood, flood
from tests.attack.force.hold import Hold, hold
from tests.attack.force.limits import ForeignAddress, bounded, ours
from tests.attack.force.material import BODY_BYTES, MIB, accepted, bomb, close_code, request, upgrade
from tests.attack.scene import AttackError, Gate, exert, outcome, started
from tests.chaos.child import ROOT
from tests.listening import listening


@pytest.mark.parametrize(
    "host", ["8.8.8.8", "1.1.1.1", "169.254.169.254", "100.64.0.1", "2001:4860:4860::8888"]
)
def test_what_is_not_of_this_machine_is_refused(host: str) -> None:
    with pytest.raises(ForeignAddress, match="loopback or to containers of this machine only"):
        ours(host)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.3.2.1", "172.20.0.5", "10.1.2.3", "::1"])
def test_what_is_of_this_machine_is_taken(host: str) -> None:
    assert ours(host) == host


def test_what_is_beyond_a_bound_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match="count is 30000; it must be 0 to 20000"):
        bounded("count", 30_000, 20_000)


def test_a_bomb_unpacks_to_its_size() -> None:
    packed = bomb(8 * MIB)
    assert len(packed) < 16384
    assert zlib.decompress(packed, 31) == bytes(8 * MIB)


@pytest.mark.parametrize(
    ("tail", "code"),
    [
        (b"\x81\x02hi\x88\x02\x03\xf0", "1008"),
        (b"\x88\x08\x03\xeaproblem"[:-1], "1002"),
        (b"\x88\x00", "none"),
        (b"\x81\x02hi", "none"),
        (b"", "none"),
    ],
)
def test_the_code_of_a_close_frame_is_found_at_the_end(tail: bytes, code: str) -> None:
    assert close_code(tail) == code


async def test_fire_counts_answers_and_who_ends_the_connection() -> None:
    bodies: list[int] = []

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        assert b"Content-Length: %d\r\n" % len(bomb(MIB)) in head
        if b"/kept" in head:
            bodies.append(len(await reader.readexactly(len(bomb(MIB)))))
            writer.write(b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n")
            await asyncio.sleep(60)
        writer.write(b"HTTP/1.1 401 No\r\nConnection: close\r\n\r\nHTTP/1.1 200 Hidden\r\n\r\n")
        await writer.drain()

    async with listening(talk) as port:
        head = {"Content-Length": BODY_BYTES}
        asked = [request("POST", path, head).decode() for path in ("/kept", "/ended")]
        order = Fire(
            host="127.0.0.1",
            port=port,
            seconds=10,
            requests=asked,
            count=4,
            unpacked=MIB,
            linger=0.3,
            at_once=1,
        )
        seen = await fire(order)
    assert seen["answers"] == {"413": 2, "401": 2}
    assert seen["by_request"] == {"0": "413", "1": "401"}
    assert (seen["ended"], seen["more"]) == (2, 2)
    assert bodies == [len(bomb(MIB))] * 2


async def test_hold_keeps_what_it_may_and_counts_what_is_let_go() -> None:
    came: list[bytes] = []

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        came.append(await reader.readexactly(5 + 100_000 + 2))
        if len(came) % 2:
            writer.write(b"HTTP/1.1 408 Late\r\n\r\n")
            await writer.drain()
            return
        await asyncio.sleep(60)

    async with listening(talk) as port:
        order = Hold(
            host="127.0.0.1",
            port=port,
            seconds=1.5,
            count=6,
            first="first",
            fill=100_000,
            drip="x",
            every=0.1,
        )
        seen = await hold(order)
    assert (seen["opened"], seen["refused"], seen["open"]) == (6, 0, 3)
    assert seen["statuses"] == {"408": 3}
    assert set(came) == {b"first" + b"a" * 100_000 + b"xx"}


async def test_a_flood_tells_how_it_was_closed() -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        assert b"GET /ws HTTP/1.1" in head
        writer.write(accepted(head))
        assert await reader.readexactly(12) == b"\x89\x80\x00\x00\x00\x00" * 2
        writer.write(b"\x88\x02\x03\xf0")
        await writer.drain()

    async with listening(talk) as port:
        order = Flood(
            host="127.0.0.1", port=port, seconds=5, target="/ws", headers={}, frames="ping", attempts=3
        )
        seen = await flood(order)
    assert seen["handshakes"] == {"101": 3}
    assert seen["closes"].get("1008", 0) + seen["closes"].get("none", 0) == 3
    assert seen["frames"] > 0


async def test_the_hostile_server_floods_and_ends_with_who_started_it() -> None:
    order = {"host": "127.0.0.1", "seconds": 20, "frames": "ping"}
    async with started((), "hostile", order) as process:
        port = (await outcome(process))["port"]
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(request("GET", "/ping", {"Authorization": "Bearer vfs1.session-1.x"}))
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200")
        assert b'"session": "session-1"' in await reader.readuntil(b"}")
        writer.write(upgrade("/ws?run=r", {}))
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 101")
        assert await reader.readexactly(2000) == b"\x89\x00" * 1000
        writer.transport.abort()
    assert process.returncode == 1


async def test_a_force_that_cannot_work_says_why() -> None:
    with pytest.raises(AttackError, match="attacks go to loopback"):
        await exert(Gate("x", "8.8.8.8", 80), "hold", seconds=1, count=1)
    with pytest.raises(AttackError, match="seconds is 1000"):
        await exert(Gate("x", "127.0.0.1", 80), "hold", seconds=1000, count=1)


async def test_forces_need_the_standard_library_alone() -> None:
    """They run in containers that have nothing else."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-I",
        "-S",
        "-c",
        f"import sys; sys.path.insert(0, {str(ROOT)!r}); import tests.attack.force.__main__",
        cwd=ROOT,
    )
    assert await process.wait() == 0


async def test_connections_that_were_all_let_go_are_waited_for_no_longer() -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)

    async with listening(talk) as port:
        order = Hold(host="127.0.0.1", port=port, seconds=100, count=3, first="x", until_let_go=True)
        async with asyncio.timeout(50):
            seen = await hold(order)
    assert (seen["opened"], seen["open"]) == (3, 0)


async def test_a_neighbour_computes_and_says_how_much() -> None:
    seen = await exert(Gate("x", "127.0.0.1", 0), "neighbour", seconds=1, share=0.5)
    assert 0 < seen["cpu"] < 1
    with pytest.raises(AttackError, match="share is 2"):
        await exert(Gate("x", "127.0.0.1", 0), "neighbour", seconds=1, share=2)


def test_snapshots_that_were_asked_for_and_refused_are_told_by_the_gateways_log() -> None:
    log = (
        b"12:00:00 INFO gateway.sandboxes.reaper session s-1: not reaped: An answer is encoded (Content-Encoding)\n"
        b"12:00:01 INFO gateway.sandboxes.snapshots session s-1: snapshot of 12 bytes kept\n"
        b"12:00:02 INFO gateway.sandboxes.snapshots session s-1: no snapshot: it broke off\n"
        b"12:00:03 WARNING gateway.sandboxes.snapshots session s-1: snapshot failed, its sandbox is kept: too long\n"
        b"12:00:04 INFO gateway.sandboxes.reaper session s-1: not reaped: The sandbox does not answer\n"
        b"12:00:05 INFO gateway.sandboxes.snapshots session s-12: no snapshot: it broke off\n"
    )
    assert refusals("s-1", log) == 3
    assert refusals("s-2", log) == 0
