"""The agent server's routes: who may, what is refused and how, and what one can ask of a run."""

from __future__ import annotations

import asyncio
import io
import json
import re
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from container.agent import agent
from container.agent.process import AgentProcess
from container.protocol import VERSION, server_proof
from container.runs import pending
from container.runs import service as runs
from container.web.app_keys import RELAY
from tests.container.conftest import DEADLINE, ONE_SHOT, Sandbox, Start, eventually, recorded, text
from tests.container.runs.test_framelog import no_file_grows_past

ROUTES = [
    ("PUT", "/pending/r"),
    ("GET", "/ws?run=r"),
    ("POST", "/runs/r/stop"),
    ("POST", "/runs/r/pause"),
    ("POST", "/runs/r/resume"),
    ("POST", "/runs/r/notice"),
    ("POST", "/retire"),
    ("GET", "/files/x"),
    ("PUT", "/files/x"),
    ("GET", "/relay"),
    ("GET", "/no/such/route"),
]


@pytest.mark.parametrize(("method", "path"), ROUTES)
@pytest.mark.parametrize(
    "given", ["", "Bearer other", "the-token", "Bearer the-token2", "bearer the-token", "Bearer é"]
)
async def test_without_the_token_nothing_is_said(
    sandbox: Sandbox, method: str, path: str, given: str
) -> None:
    headers = {"Authorization": given} if given else {}
    async with aiohttp.request(method, sandbox.server.make_url(path), headers=headers) as response:
        assert response.status == 401
        assert (await response.json())["code"] == "unauthorized"


@pytest.mark.parametrize("given", ["", "Bearer other", "the-token"])
async def test_ping_without_the_token_tells_only_that_it_is_alive(sandbox: Sandbox, given: str) -> None:
    headers = {"Authorization": given} if given else {}
    async with aiohttp.request("GET", sandbox.server.make_url("/ping"), headers=headers) as response:
        assert response.status == 200
        assert await response.json() == {"status": "ok", "version": VERSION}


async def test_it_proves_to_anybody_at_its_own_address_that_it_knows_its_token(sandbox: Sandbox) -> None:
    url = sandbox.server.make_url("/proof")
    assert url.host
    assert url.port
    for nonce in ("00" * 16, "a1" * 16):
        async with aiohttp.request("GET", url, params={"nonce": nonce}) as response:
            assert response.status == 200
            assert await response.text() == server_proof("the-token", nonce, url.host, url.port)


@pytest.mark.parametrize("nonce", ["", "0" * 31, "0" * 33, "g" * 32, "A" * 32])
async def test_a_nonce_that_is_none_is_refused(sandbox: Sandbox, nonce: str) -> None:
    async with aiohttp.request("GET", sandbox.server.make_url("/proof"), params={"nonce": nonce}) as response:
        assert (response.status, (await response.json())["field"]) == (400, "nonce")


def test_a_proof_is_of_one_token_nonce_and_address() -> None:
    nonce = "00" * 16
    proofs = {
        server_proof(*said)
        for said in (
            ("a", nonce, "10.0.0.1", 1),
            ("b", nonce, "10.0.0.1", 1),
            ("a", "11" * 16, "10.0.0.1", 1),
            ("a", nonce, "10.0.0.2", 1),
            ("a", nonce, "10.0.0.1", 2),
        )
    }
    assert len(proofs) == 5
    assert server_proof("a", nonce, "::ffff:10.0.0.1", 1) in proofs


async def test_ping_with_the_token_tells_what_the_gateway_wants_to_know(sandbox: Sandbox) -> None:
    await eventually(lambda: sandbox.agent.state == "ready")
    answer = await sandbox.ping()
    assert answer.pop("idleSeconds") >= 0
    answer.pop("fresh")  # test_snapshot.py
    assert answer == {
        "status": "ok",
        "version": VERSION,
        "session": "session-1",
        "agent": "ready",
        "activeRun": None,
        "connections": 0,
        "lostReason": "",
    }


UPGRADE = {
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
}


async def refused(sandbox: Sandbox, method: str, path: str, **request: Any) -> tuple[int, str, str | None]:
    """The status, code and field of an error."""
    if path.startswith("/ws"):
        request = {"headers": UPGRADE, **request}
    async with sandbox.http.request(method, path, **request) as response:
        error = await response.json()
        assert re.fullmatch(r"\w.*\.", error["error"], re.DOTALL)
        return response.status, error["code"], error.get("field")


async def test_what_is_wrong_is_named(sandbox: Sandbox) -> None:
    bad_id = "x" * 65
    assert await refused(sandbox, "PUT", f"/pending/{bad_id}", json={"prompt": "x"}) == (
        400,
        "bad-request",
        "run",
    )
    assert await refused(sandbox, "PUT", "/pending/r", json={"prompt": ""}) == (400, "bad-request", "prompt")
    assert await refused(sandbox, "PUT", "/pending/r", data=b"x") == (400, "bad-request", "body")
    large = json.dumps({"prompt": "x" * 60_000, "env": {"A": "y" * 60_000}, "pad": ["z"] * 900_000})
    assert await refused(sandbox, "PUT", "/pending/r", data=io.BytesIO(large.encode())) == (
        413,
        "payload-too-large",
        "body",
    )
    assert await refused(sandbox, "GET", "/ws?run=a.b") == (400, "bad-request", "run")
    assert await refused(sandbox, "GET", "/ws?run=r&after=-1") == (400, "bad-request", "after")
    assert await refused(sandbox, "GET", "/ws?run=r&after=%D9%A1") == (400, "bad-request", "after")
    assert await refused(sandbox, "GET", "/ws?attach=1") == (400, "bad-request", "run")
    assert await refused(sandbox, "GET", "/ws?run=r&attach=1") == (404, "run-not-found", "run")
    for action in ("stop", "pause", "resume"):
        assert await refused(sandbox, "POST", f"/runs/r/{action}") == (404, "run-not-found", "run")
    assert await refused(sandbox, "POST", "/retire?idle=x") == (400, "bad-request", "idle")
    assert await refused(sandbox, "POST", "/retire?idle=nan") == (400, "bad-request", "idle")
    assert (await refused(sandbox, "DELETE", "/ping"))[0] == 405
    assert (await refused(sandbox, "GET", "/no/such/route"))[:2] == (404, "not-found")


async def test_a_query_is_used_once_and_gone_before_the_agent_sees_it(
    sandbox: Sandbox, tmp_path: Path
) -> None:
    prompt = f"say(','.join(os.listdir({str(tmp_path / 'pending')!r})))"
    frames = await sandbox.ask("r", prompt)
    assert text(frames) == ""
    await sandbox.put("r", "say('a second time')")
    again, _ = await sandbox.read("r")
    assert recorded(again) == frames


async def test_two_racing_connections_and_a_late_query_make_one_run(sandbox: Sandbox) -> None:
    readers = [asyncio.create_task(sandbox.read("r")) for _ in range(2)]
    await eventually(lambda: sandbox.ping_connections() == 2)
    await sandbox.put("r", "say('once')")
    (first, _), (second, _) = await asyncio.gather(*readers)
    assert recorded(first) == recorded(second)
    assert text(first) == "once"


async def test_a_connection_without_a_query_is_told_and_closed(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pending, "PENDING_SECONDS", 0.1)
    frames, close_code = await sandbox.read("r")
    assert [(frame["type"], frame["code"]) for frame in frames] == [("error", "no-pending-query")]
    assert close_code == 4404
    async with sandbox.http.ws_connect("/ws") as ws:
        assert json.loads((await ws.receive()).data)["code"] == "no-pending-query"


async def test_the_seeds_file_starts_a_run_of_its_own(sandbox: Sandbox, tmp_path: Path) -> None:
    (tmp_path / "seed-query.json").touch(mode=0o600)
    (tmp_path / "seed-query.json").write_text(
        json.dumps({"prompt": "say('seed')", "sessionId": "s", "cwd": "/workspace"})
    )
    async with sandbox.http.ws_connect("/ws") as ws:
        frames = [json.loads(message.data) async for message in ws]
        assert ws.close_code == 1000
    assert text(frames) == "seed"
    assert not (tmp_path / "seed-query.json").exists()


async def test_a_cursor_from_the_future_is_an_error(sandbox: Sandbox) -> None:
    await sandbox.ask("r", "say('x')")
    assert await refused(sandbox, "GET", "/ws?run=r&after=4") == (416, "cursor-ahead", "after")
    await sandbox.put("fresh", "say('x')")
    frames, close_code = await sandbox.read("fresh", 1)
    assert frames[0]["code"] == "cursor-ahead"
    assert close_code == 4416
    assert not sandbox.runs.is_known("fresh")


async def test_runs_go_one_after_another_and_the_queue_is_told(sandbox: Sandbox) -> None:
    await sandbox.put("a", "sys.stdin.readline()")
    await sandbox.put("b", "say('b')")
    async with sandbox.connect("a"):
        await eventually(lambda: sandbox.runs.active is not None and sandbox.runs.active.id == "a")
        async with sandbox.connect("b") as second:
            status = json.loads((await second.receive()).data)
            assert (status["phase"], status["position"]) == ("queued", 1)
            async with sandbox.http.post("/runs/a/stop") as response:
                assert response.status == 202
            rest = [json.loads(message.data) async for message in second]
    assert text(rest) == "b"


async def test_a_request_without_an_upgrade_starts_nothing(sandbox: Sandbox) -> None:
    await sandbox.put("r", "say('once')")
    for path in ("/ws?run=r&attach=1", "/ws?run=r", "/ws"):
        assert await refused(sandbox, "GET", path, headers={}) == (400, "bad-request", None)
    assert not sandbox.runs.is_known("r")
    frames, _ = await sandbox.read("r", attach="1")
    assert text(frames) == "once"


async def test_an_error_behind_the_upgrade_is_a_close_code_and_no_response(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(*_args: object, **_more: object) -> None:
        raise OSError("the disk is gone")

    monkeypatch.setattr(sandbox.runs, "attach", broken)
    monkeypatch.setattr(sandbox.app[RELAY], "serve", broken)
    for path in ("/ws?run=r", "/relay"):
        async with sandbox.http.ws_connect(path) as ws:
            assert (await ws.receive(DEADLINE)).type is aiohttp.WSMsgType.CLOSE
            assert ws.close_code == 1011


async def test_a_query_that_does_not_fit_is_507(sandbox: Sandbox) -> None:
    with no_file_grows_past(0):
        answer = await refused(sandbox, "PUT", "/pending/r", json={"prompt": "x"})
    assert answer == (507, "disk-full", None)
    assert not sandbox.runs.has_work()


async def test_the_seeds_file_stays_when_the_sandbox_takes_no_query(sandbox: Sandbox, tmp_path: Path) -> None:
    async with sandbox.http.post("/retire?idle=0") as response:
        assert response.status == 200
    seed = tmp_path / "seed-query.json"
    seed.touch(mode=0o600)
    seed.write_text('{"prompt":"say(1)"}')
    async with sandbox.http.ws_connect("/ws") as ws:
        assert json.loads((await ws.receive(DEADLINE)).data)["code"] == "retiring"
    assert seed.exists()


async def stop(sandbox: Sandbox, run: str) -> str:
    async with sandbox.http.post(f"/runs/{run}/stop") as response:
        assert response.status == 202
        state: str = (await response.json())["state"]
        return state


async def test_stop_keeps_the_text_and_may_be_asked_twice(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(agent, "INTERRUPT_SECONDS", 30.0)
    # It does not end at the first stop by itself, so that the second one surely comes before the end.
    await sandbox.put(
        "r", "say('kept')\ntry:\n    time.sleep(600)\nexcept KeyboardInterrupt:\n    sys.stdin.readline()"
    )
    reading = asyncio.create_task(sandbox.read("r"))
    await eventually(lambda: sandbox.runs.is_known("r") and sandbox.runs.get("r").frames.last >= 2)
    assert set(await asyncio.gather(stop(sandbox, "r"), stop(sandbox, "r"))) == {"stopping"}
    process = sandbox.agent.process
    assert process is not None
    process.send(b"now end")
    frames, close_code = await reading
    assert text(frames).startswith("kept")
    assert recorded(frames)[-1]["reason"] == "stopped"
    assert close_code == 1000
    assert await stop(sandbox, "r") == "stopped"


async def test_a_queued_and_a_pending_run_can_be_stopped(sandbox: Sandbox) -> None:
    await sandbox.put("active", "sys.stdin.readline()")
    await sandbox.put("queued", "say('never')")
    await sandbox.put("pending", "say('never')")
    async with sandbox.connect("active"), sandbox.connect("queued"):
        await eventually(lambda: sandbox.runs.is_known("queued"))
        assert await stop(sandbox, "queued") == "stopped"
        assert await stop(sandbox, "pending") == "stopped"
        await stop(sandbox, "active")
    for run in ("queued", "pending"):
        frames, _ = await sandbox.read(run)
        assert [frame["type"] for frame in recorded(frames)] == ["run", "process-exit"]


async def test_when_a_queued_run_is_stopped_those_behind_it_move_up_at_once(sandbox: Sandbox) -> None:
    for run in ("active", "second", "third"):
        await sandbox.put(run, "sys.stdin.readline()")
    async with sandbox.connect("active"), sandbox.connect("second"):
        await eventually(lambda: sandbox.runs.is_known("second"))
        async with sandbox.connect("third") as third:
            await eventually(lambda: sandbox.runs.is_known("third"))
            assert json.loads((await third.receive(DEADLINE)).data)["position"] == 2
            await stop(sandbox, "second")
            while (said := json.loads((await third.receive(DEADLINE)).data))["type"] != "status":
                pass
            assert (said["phase"], said["position"]) == ("queued", 1)


async def test_a_run_whose_agent_has_no_query_yet_is_not_paused(sandbox: Sandbox) -> None:
    async with sandbox.agent.away():
        await sandbox.put("r", "say('on')")
        reading = asyncio.create_task(sandbox.read("r"))
        await eventually(lambda: sandbox.agent.state == "busy")
        assert await refused(sandbox, "POST", "/runs/r/pause") == (409, "conflict", "run")
        assert sandbox.runs.get("r").state == "running"
    frames, _ = await reading
    assert text(frames) == "on"


async def test_going_away_starts_no_further_agent(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    await sandbox.put("r", "say('on'); time.sleep(600)")
    reading = asyncio.create_task(sandbox.read("r"))
    await eventually(lambda: sandbox.runs.is_known("r") and sandbox.runs.get("r").frames.last == 2)
    spawned: list[object] = []
    monkeypatch.setattr(AgentProcess, "spawn", lambda *args, **more: spawned.append(args))
    await sandbox.app.shutdown()
    await reading
    await asyncio.sleep(0.1)
    assert spawned == []


async def test_a_notice_becomes_the_runs_next_frame_while_it_is_on(sandbox: Sandbox) -> None:
    await sandbox.put("r", "for n in range(1_000_000):\n    say(str(n))\n    time.sleep(0.001)")
    reading = asyncio.create_task(sandbox.read("r"))
    await eventually(lambda: sandbox.runs.is_known("r") and sandbox.runs.get("r").frames.last > 5)
    sent = [
        {"type": "budget", "scope": "run", "text": "Most of it is used up."},
        {"type": "error", "error": "All of it is.", "code": "budget-exceeded"},
    ]
    for frame in sent:
        async with sandbox.http.post("/runs/r/notice", json=frame) as response:
            assert response.status == 204
    bad = [
        b"",
        b"[]",
        b'{"type":"process-exit"}',
        b'{"type":"text-delta"}',
        b'{"type":"error","x":"%s"}' % (b"x" * 5000),
    ]
    for body in bad:
        async with sandbox.http.post("/runs/r/notice", data=body) as response:
            assert (response.status, (await response.json())["field"]) == (400, "type")
    await stop(sandbox, "r")
    frames, _ = await reading
    told = [frame for frame in frames if frame["type"] in ("budget", "error")]
    assert told == [{**frame, "run": "r", "seq": seen["seq"]} for frame, seen in zip(sent, told, strict=True)]
    numbers = [frame["seq"] for frame in frames if "seq" in frame]
    assert numbers == list(range(1, len(numbers) + 1))
    async with sandbox.http.post("/runs/r/notice", json=sent[0]) as response:
        assert response.status == 409
    async with sandbox.http.post("/runs/unknown/notice", json=sent[0]) as response:
        assert response.status == 404


async def test_pause_holds_the_agent_and_resume_lets_it_go_on(sandbox: Sandbox) -> None:
    await sandbox.put("r", "for n in range(1_000_000):\n    say(str(n))\n    time.sleep(0.001)")
    reading = asyncio.create_task(sandbox.read("r"))
    await eventually(lambda: sandbox.runs.is_known("r") and sandbox.runs.get("r").frames.last > 5)
    async with sandbox.http.post("/runs/r/pause") as response:
        assert (response.status, (await response.json())["state"]) == (202, "paused")
    process = sandbox.agent.process
    assert process is not None
    await eventually(
        lambda: Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"
    )
    async with sandbox.connect("r", batch="1") as late:
        assert json.loads((await late.receive()).data)["phase"] == "paused"
    async with sandbox.http.post("/runs/r/resume") as response:
        assert (await response.json())["state"] == "running"
    before = sandbox.runs.get("r").frames.last
    await eventually(lambda: sandbox.runs.get("r").frames.last > before)
    await stop(sandbox, "r")
    frames, _ = await reading
    phases = [frame["phase"] for frame in frames if frame["type"] == "status"]
    assert phases[-2:] == ["paused", "resumed"]
    assert await refused(sandbox, "POST", "/runs/r/pause") == (409, "conflict", "run")
    assert await refused(sandbox, "POST", "/runs/r/resume") == (409, "conflict", "run")


async def test_retire_waits_for_quiet_and_then_takes_nothing(sandbox: Sandbox) -> None:
    assert await refused(sandbox, "POST", "/retire?idle=3600") == (409, "busy", None)
    await sandbox.put("r", "say('x')")
    assert await refused(sandbox, "POST", "/retire?idle=0") == (409, "busy", None)
    async with sandbox.connect("r") as ws:
        assert await refused(sandbox, "POST", "/retire?idle=0") == (409, "busy", None)
        async for _ in ws:
            pass
    await eventually(lambda: sandbox.ping_connections() == 0)
    async with sandbox.http.post("/retire?idle=0") as response:
        assert response.status == 200
    assert await refused(sandbox, "PUT", "/pending/next", json={"prompt": "x"}) == (503, "retiring", None)
    frames, _ = await sandbox.read("r")
    assert text(frames) == "x"


async def test_a_one_shot_agent_answers_run_after_run(start: Start) -> None:
    sandbox = await start(ONE_SHOT)
    for run in ("a", "b"):
        assert (
            text(await sandbox.ask(run, f"say('{run} ' + os.environ['EXTRA'])", env={"EXTRA": "e"}))
            == f"{run} e"
        )


async def test_a_full_disk_loses_nothing_until_memory_is_full_too_and_then_ends_the_run(
    sandbox: Sandbox,
) -> None:
    await sandbox.put("r", "for n in range(300):\n    say('x' * 200_000)\ntime.sleep(600)")
    with no_file_grows_past(0):
        frames, close_code = await sandbox.read("r")
    assert [frame["seq"] for frame in recorded(frames)] == list(range(1, len(recorded(frames)) + 1))
    assert 150 < len(recorded(frames)) < 300
    assert recorded(frames)[-2]["code"] == "disk-full"
    assert recorded(frames)[-1]["reason"] == "failed"
    assert close_code == 1000
    again, _ = await sandbox.read("r")
    assert recorded(again) == recorded(frames)


async def test_a_run_that_grows_past_its_limit_is_ended_and_its_agent_stopped(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    limit = 1_000_000
    monkeypatch.setattr(runs, "MAX_RUN_BYTES", limit)
    endless = "say(str(os.getpid()))\nn = 0\nwhile True:\n    n += 1\n    say(f'{n} ' + 'x' * 50_000)"
    frames = await sandbox.ask("r", endless)
    assert [frame["seq"] for frame in frames] == list(range(1, len(frames) + 1))
    assert [frame["text"].split()[0] for frame in frames[2:-2]] == [str(n) for n in range(1, len(frames) - 3)]
    assert limit * 0.6 < sum(len(json.dumps(frame)) for frame in frames[:-2]) < limit * 1.1
    assert (frames[-2]["type"], frames[-2]["code"]) == ("error", "run-too-large")
    assert (frames[-1]["type"], frames[-1]["reason"]) == ("process-exit", "failed")
    assert text(await sandbox.ask("next", "say('goes on')")) == "goes on"


async def test_many_recorded_runs_keep_eight_logs_and_unrecorded_ones_all(
    sandbox: Sandbox, tmp_path: Path
) -> None:
    for number in range(12):
        frames = await sandbox.ask(f"r{number}", "say('x')")
        if number != 1:
            sandbox.runs.record(sandbox.runs.get(f"r{number}"), frames[-1]["seq"])
    logs = sorted(path.name for path in (tmp_path / "home" / ".vaporforge" / "runs").iterdir())
    assert logs == sorted(["r1.jsonl", *(f"r{number}.recorded.jsonl" for number in range(4, 12))])
    assert await refused(sandbox, "GET", "/ws?run=r0&attach=1") == (404, "run-not-found", "run")


async def test_a_packed_body_is_refused_before_the_token_is_looked_at(sandbox: Sandbox) -> None:
    for headers in ({}, {"Authorization": "Bearer wrong"}):
        packed = {"Content-Encoding": "gzip", **headers}
        async with sandbox.http.put("/pending/r1", data=b"x", headers=packed) as response:
            assert (response.status, (await response.json())["code"]) == (415, "unsupported-encoding")


@pytest.mark.parametrize("name", ["%ff", "%ed%a0%80", "a%00", "%F0%9F%98%80"])
async def test_odd_names_are_no_failure(
    sandbox: Sandbox, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    for method, path in (("GET", "files"), ("PUT", "files"), ("POST", "runs"), ("PUT", "pending")):
        tail = "/stop" if path == "runs" else ""
        url = sandbox.server.make_url("/").joinpath(f"{path}/{name}{tail}", encoded=True)
        async with sandbox.http.request(method, url) as response:
            assert response.status < 500, (method, path)
    assert not [record for record in caplog.records if record.exc_info]
