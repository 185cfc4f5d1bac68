"""The proxy that sandboxes ask, over real sockets, before a forward proxy that does what the test says."""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
import sys
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from gateway.egress.client_hello import UNRECOGNIZED_NAME
from gateway.egress.policy import Blocked
from gateway.egress.sessions import KnownSessions
from gateway.model import Session
from tests.gateway.egress.bench import SECONDS, Bench, Streams, rest_of
from tests.gateway.egress.hellos import hello, real_hello
from tests.gateway.fakes import until


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    async with Bench() as made:
        yield made


async def test_a_listed_host_is_reached_and_bytes_go_both_ways(bench: Bench) -> None:
    reader, writer = await bench.tunnel("pypi.org")
    sent = real_hello("pypi.org") + b"and more"
    writer.write(sent)
    assert await asyncio.wait_for(reader.readexactly(len(sent)), SECONDS) == sent
    writer.write_eof()
    assert await rest_of(reader) == b""
    assert bench.forward.heads == [b"CONNECT pypi.org:443 HTTP/1.1\r\nHost: pypi.org:443\r\n\r\n"]
    assert bytes(bench.forward.came) == sent
    await until(lambda: bench.proxy.open == 0)
    assert (bench.proxy.counts["opened"], bench.store.counted["ada"]) == (1, 1 + 2 * len(sent))


async def test_nothing_is_sent_on_before_the_name_is_known(bench: Bench) -> None:
    reader, writer = await bench.tunnel("pypi.org")
    sent = hello()
    writer.write(sent[:-1])
    await writer.drain()
    await asyncio.sleep(0.05)
    assert not bench.forward.came
    writer.write(sent[-1:])
    assert await asyncio.wait_for(reader.readexactly(len(sent)), SECONDS) == sent


@pytest.mark.parametrize(
    "sent", [real_hello("evil.example.com"), hello(b"evil.example.com"), b"SSH-2.0-x\r\n", real_hello(None)]
)
async def test_another_name_in_the_handshake_is_refused_in_tls(bench: Bench, sent: bytes) -> None:
    reader, writer = await bench.tunnel("pypi.org")
    writer.write(sent)
    assert await rest_of(reader) == UNRECOGNIZED_NAME
    assert not bench.forward.came
    [(session, host, why, may)] = bench.told
    assert (session, why, may) == ("s1", Blocked.NAME, False)
    assert host == ("evil.example.com" if b"evil" in sent else "pypi.org")


async def test_an_unlisted_host_is_refused_before_anybody_is_asked_and_told_once(bench: Bench) -> None:
    for _ in range(3):
        status, head, _ = await bench.ask("CONNECT evil.example.com:443")
        assert status == 403
        assert "evil.example.com is not on the list" in head.splitlines()[0]
    assert not bench.forward.heads
    assert bench.told == [("s1", "evil.example.com", Blocked.HOST, True)]
    assert bench.proxy.counts["blocked"] == 3


async def test_what_the_owner_allowed_is_reached_by_that_session_alone(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.egress.sessions.CACHE_SECONDS", 0.0)
    status, _, _ = await bench.ask("CONNECT own.example.com:443")
    assert status == 403
    bench.store.sessions["s1"] = replace(bench.store.sessions["s1"], egress_hosts=("own.example.com",))
    await bench.tunnel("own.example.com")
    status, _, _ = await bench.ask("CONNECT own.example.com:443", session="s2")
    assert status == 403


async def test_what_the_owner_takes_back_is_cut_while_bytes_pass(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.egress.sessions.CACHE_SECONDS", 0.0)
    monkeypatch.setattr("gateway.egress.listener.AGAIN_SECONDS", 0.0)
    before = bench.store.sessions["s1"]
    bench.store.sessions["s1"] = replace(before, egress_hosts=("own.example.com",))
    own, listed = [await bench.tunnel(host) for host in ("own.example.com", "pypi.org")]

    async def passes(streams: Streams, sent: bytes) -> None:
        streams[1].write(sent)
        assert await asyncio.wait_for(streams[0].readexactly(len(sent)), SECONDS) == sent

    await passes(own, real_hello("own.example.com"))
    await passes(listed, real_hello("pypi.org"))
    bench.store.away = True
    await passes(own, b"the store is away, which is no reason")
    bench.store.away = False
    bench.store.sessions["s1"] = before
    own[1].write(b"x")
    assert len(await rest_of(own[0])) <= 1, "what passes at that moment is the last"
    await passes(listed, b"of the stack's own list nobody is asked")
    assert (await bench.ask("CONNECT own.example.com:443"))[0] == 403


async def test_sessions_are_read_once_for_many_connections(bench: Bench) -> None:
    read: list[str] = []
    get = bench.store.get_session

    async def counted(session: str) -> Session:
        read.append(session)
        await asyncio.sleep(0)
        return await get(session)

    bench.store.get_session = counted  # type: ignore[method-assign]
    known = KnownSessions(bench.store)  # type: ignore[arg-type]
    first, *_ = await asyncio.gather(*(known.get("s1") for _ in range(50)))
    assert len(read) == 1
    bench.store.away = True
    assert await known.get("s1") is first


async def test_without_a_sandbox_s_token_nothing_is_asked(bench: Bench) -> None:
    status, head, _ = await bench.ask("CONNECT pypi.org:443", credentials=False)
    assert status == 407
    assert "Proxy-Authenticate: Basic" in head
    bench.store.sessions.clear()
    status, _, _ = await bench.ask("CONNECT pypi.org:443")
    assert status == 403
    bench.store.away = True
    status, _, _ = await bench.ask("CONNECT pypi.org:443", session="s2")
    assert status == 503
    assert not bench.forward.heads


async def test_an_address_that_is_not_public_is_told_as_such(bench: Bench) -> None:
    bench.forward.answer = (
        b"HTTP/1.1 407 Request rejected by proxy\r\nX-Smokescreen-Error: denied\r\nContent-Length: 0\r\n\r\n"
    )
    status, head, _ = await bench.ask("CONNECT pypi.org:443")
    assert status == 403
    assert "address" in head.splitlines()[0]
    assert bench.told == [("s1", "pypi.org", Blocked.ADDRESS, False)]


@pytest.mark.parametrize(
    "answer", [b"HTTP/1.1 502 Bad gateway\r\n\r\n", b"HTTP/1.1 407 x\r\n\r\n", b"nonsense\r\n\r\n", b""]
)
async def test_a_host_that_cannot_be_reached_is_no_tunnel(bench: Bench, answer: bytes) -> None:
    async def leave(*_: object) -> None:
        pass

    bench.forward.answer, bench.forward.serve = answer, leave
    status, _, _ = await bench.ask("CONNECT pypi.org:443")
    assert status == 502
    assert not bench.told


async def test_a_forward_proxy_that_is_away_is_told() -> None:
    async with Bench(egress_proxy="127.0.0.1:1") as bench:
        status, head, _ = await bench.ask("CONNECT pypi.org:443")
    assert status == 502
    assert "forward proxy" in head


async def test_a_download_is_sent_on_and_its_answer_is_the_connection_s_last(bench: Bench) -> None:
    async def file(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"body" * 50_000)

    bench.forward.answer = (
        b"HTTP/1.1 200 OK\r\nConnection: keep-alive\r\nKeep-Alive: 5\r\nContent-Length: 200000\r\n\r\n"
    )
    bench.forward.serve = file
    status, head, (reader, writer) = await bench.ask("GET http://deb.debian.org/x")
    writer.write(b"GET http://evil.example.com/ HTTP/1.1\r\n\r\n")
    assert status == 200
    assert head.splitlines()[1:3] == ["Content-Length: 200000", "Connection: close"]
    assert await rest_of(reader) == b"body" * 50_000
    assert len(bench.forward.heads) == 1
    assert bench.forward.heads[0].startswith(
        b"GET http://deb.debian.org/x HTTP/1.1\r\nHost: deb.debian.org\r\n"
    )


async def test_an_answer_s_asker_stays_until_it_is_whole(bench: Bench) -> None:
    """As servers do that give up an answer when whoever asked has left."""
    ended: list[bool] = []

    async def file(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        left = asyncio.create_task(reader.read())
        for _ in range(20):
            writer.write(b"x" * 1000)
            await asyncio.sleep(0.01)
        ended.append(left.done())
        left.cancel()

    bench.forward.answer, bench.forward.serve = b"HTTP/1.1 200 OK\r\n\r\n", file
    _, _, (reader, _) = await bench.ask("GET http://deb.debian.org/x")
    assert len(await rest_of(reader)) == 20_000
    assert ended == [False]


async def test_behind_a_download_nothing_else_is_sent_on(bench: Bench) -> None:
    seen: list[bytes] = []

    async def listens(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(0.5):
                seen.append(await reader.read(1))
        seen.append(b"nothing")

    bench.forward.answer, bench.forward.serve = b"HTTP/1.1 204 No\r\n\r\n", listens
    reader, writer = await bench.open()
    writer.write(
        b"GET http://deb.debian.org/ HTTP/1.1\r\n"
        + bench.credentials()
        + b"\r\nGET http://evil.example/ HTTP/1.1\r\n\r\n"
    )
    await rest_of(reader)
    await until(lambda: bool(seen))
    assert seen == [b"nothing"]


@pytest.mark.parametrize(
    "line", ["POST http://deb.debian.org/", "GET /", "CONNECT 10.0.0.1:443", "CONNECT [::1]:443"]
)
async def test_what_is_no_request_of_a_proxy_s_is_refused(bench: Bench, line: str) -> None:
    status, _, _ = await bench.ask(line)
    assert status == 400
    assert not bench.forward.heads


async def test_a_head_that_is_too_long_or_too_slow_is_given_up() -> None:
    async with Bench(head_seconds=0.2) as bench:
        reader, writer = await bench.open()
        writer.write(b"CONNECT pypi.org:443 HTTP/1.1\r\nX: " + b"x" * 40_000)
        assert b" 400 " in await rest_of(reader)
        reader, writer = await bench.open()
        writer.write(b"CONNECT pypi")
        assert await rest_of(reader) == b""
        reader, _ = await bench.tunnel("pypi.org")
        assert await rest_of(reader) == b""
        await until(lambda: bench.proxy.open == 0)


async def test_a_sandbox_has_so_many_connections_and_no_more() -> None:
    async with Bench(sandbox_egress_connections=2) as bench:
        kept = [await bench.tunnel("pypi.org") for _ in range(2)]
        status, _, _ = await bench.ask("CONNECT pypi.org:443")
        assert status == 429
        assert bench.proxy.counts["turnedAway"] == 1
        for _, writer in kept:
            writer.close()
        await until(lambda: bench.proxy.open == 0)
        await bench.tunnel("pypi.org")


async def test_who_stays_behind_a_refusal_is_counted_until_it_leaves() -> None:
    """Else one sandbox could take all of a gateway's connections with ones that are refused."""
    async with Bench(sandbox_egress_connections=2) as bench:
        kept = [await bench.ask("CONNECT evil.example.com:443") for _ in range(2)]
        status, _, _ = await bench.ask("CONNECT pypi.org:443")
        assert status == 429
        for _, _, (_, writer) in kept:
            writer.close()
        await until(lambda: bench.proxy.open == 0)
        await bench.tunnel("pypi.org")


async def test_a_gateway_has_so_many_connections_and_no_more() -> None:
    async with Bench(egress_connections=1) as bench:
        kept = await bench.tunnel("pypi.org")
        status, _, _ = await bench.ask("CONNECT pypi.org:443", session="s2")
        assert status == 429
        kept[1].close()


async def test_a_user_s_bytes_are_counted_and_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.quotas.service.FLUSH_BYTES", 64 * 1024)
    async with Bench(egress_mb_per_day=1) as bench:
        reader, writer = await bench.tunnel("pypi.org")
        writer.write(hello())

        async def send() -> None:
            try:
                while True:
                    writer.write(b"x" * 65536)
                    await writer.drain()
            except OSError:
                pass

        sending = asyncio.create_task(send())
        came = await rest_of(reader)
        await asyncio.wait_for(sending, SECONDS)
        assert len(came) < 2 * 1024 * 1024
        assert b"HTTP/1.1" not in came, "it would look as if the host had said it"
        status, head, _ = await bench.ask("CONNECT pypi.org:443")
        assert status == 429
        assert "1 MB a day" in head


async def test_what_says_nothing_for_so_long_is_cut() -> None:
    async with Bench(egress_idle_seconds=0.2) as bench:
        reader, writer = await bench.tunnel("pypi.org")
        writer.write(hello())
        assert await rest_of(reader) == hello()
        await until(lambda: bench.proxy.open == 0)


async def test_a_slow_reader_holds_the_other_side_back(bench: Bench) -> None:
    sent = 0

    async def floods(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        while sent < 64 * 1024 * 1024:
            writer.write(b"x" * 65536)
            await writer.drain()
            sent += 65536

    bench.forward.serve = floods
    reader, writer = await bench.tunnel("pypi.org")
    writer.write(hello())
    before = -1
    while sent != before:
        before = sent
        await asyncio.sleep(0.2)
    assert sent < 32 * 1024 * 1024
    assert len(await rest_of(reader)) == 64 * 1024 * 1024


async def test_with_all_no_name_and_no_port_matters() -> None:
    async with Bench(egress="all") as bench:
        status, _, (reader, writer) = await bench.ask("CONNECT db.example.com:5432")
        assert status == 200
        writer.write(b"not TLS")
        assert await asyncio.wait_for(reader.readexactly(7), SECONDS) == b"not TLS"


async def test_a_stack_that_learns_says_what_it_let_through(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "gateway.egress")
    async with Bench(egress_learn=True) as bench:
        for host in ("pypi.org", "new.example.com", "new.example.com"):
            await bench.tunnel(host)
    said = [record.getMessage() for record in caplog.records if "learned" in record.getMessage()]
    assert said == ["egress learned: new.example.com"]
    assert not bench.told


async def test_what_a_stack_does_not_let_through_it_has_not_learned(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "gateway.egress")
    async with Bench(egress_learn=True) as bench:
        bench.forward.answer = b"HTTP/1.1 407 no\r\nX-Smokescreen-Error: denied\r\n\r\n"
        assert (await bench.ask("CONNECT inside.example.com:443"))[0] == 403
    assert "learned" not in caplog.text


async def test_open_tunnels_have_until_the_drain_s_end(bench: Bench) -> None:
    reader, writer = await bench.tunnel("pypi.org")
    writer.write(hello())
    await asyncio.wait_for(reader.readexactly(len(hello())), SECONDS)
    await bench.proxy.close(0.1)
    assert await rest_of(reader) == b""
    with pytest.raises(OSError):
        await bench.open()
    await bench.proxy.close(0.1)


@pytest.mark.parametrize(
    "command",
    [
        [sys.executable, "-c", "import urllib.request; urllib.request.urlopen('https://evil.example.com/')"],
        ["git", "ls-remote", "https://evil.example.com/x.git"],
    ],
)
async def test_clients_find_the_proxy_by_their_environment(
    bench: Bench, command: list[str], tmp_path: Path
) -> None:
    url = f"http://sandbox:{bench.token()}@127.0.0.1:{bench.port}"
    env = {
        "PATH": "/usr/bin:/bin",
        "HOME": str(tmp_path),
        "https_proxy": url,
        "HTTPS_PROXY": url,
        "GIT_TERMINAL_PROMPT": "0",
    }
    done = await asyncio.to_thread(
        subprocess.run, command, env=env, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode != 0
    assert "403" in done.stderr
    assert bench.told == [("s1", "evil.example.com", Blocked.HOST, True)]
