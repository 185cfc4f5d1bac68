"""Where the secrets of a deployed stack can be seen: in the files of those who need them, and nowhere else."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import secrets as random
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest

from infra.generated import NAMES
from tests.e2e.deployed import run_in
from tests.e2e.test_replicas import polled, reader, session_of
from tests.gateway.stack import SECRET, assert_whole, numbered, read_all, read_until, text_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from tests.e2e.deployed import Deployed

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.timeout(900)]

PARTS = {"gateway", "launcher", "proxy", "table", "watch"}

FILES = {
    "gateway": {"credential", "jwt", "launcher", "proxy", "sandbox"},
    "launcher": {"launcher", "sandbox"},
    "proxy": {"proxy"},
}


def secrets_of(stack: Deployed) -> dict[str, str]:
    """Every secret of the stack, in the clear: as Pulumi shows them to whoever has its passphrase."""
    state = Path(stack.environ["VF_STATE"])
    passphrase = next(path for path in state.rglob("*passphrase*") if path.is_file())
    told = subprocess.run(
        ["pulumi", "stack", "export", "--stack", stack.name, "--show-secrets"],
        cwd=next(path.parent for path in state.rglob("Pulumi.yaml")),
        env={**stack.environ, "PULUMI_CONFIG_PASSPHRASE_FILE": str(passphrase)},
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    [made] = [
        item for item in json.loads(told)["deployment"]["resources"] if item["type"].endswith(":Secrets")
    ]
    kept = {name: _plain(value) for name, value in made["outputs"].items() if name.partition("_")[0] in NAMES}
    assert kept.keys() >= set(NAMES)
    assert all(len(value) >= 32 for value in kept.values())
    return {**kept, "jwt": SECRET}


def _plain(value: Any) -> str:
    return str(json.loads(value["plaintext"]) if isinstance(value, dict) else value)


def seen_in(secrets: dict[str, str], chunks: Iterable[bytes], *, alone: bool = False) -> set[str]:
    """The names of the secrets that are in a stream of bytes, also across its chunks, as they are or in base64."""
    forms = {name: forms_of(value.encode(), alone=alone) for name, value in secrets.items()}
    longest, behind, found = max(len(form) for each in forms.values() for form in each), b"", set[str]()
    for chunk in chunks:
        data = behind + chunk
        found |= {name for name, each in forms.items() if any(form in data for form in each)}
        behind = data[-longest:]
    return found


def forms_of(value: bytes, *, alone: bool) -> list[bytes]:
    """As it is, and as base64 has it: the characters that depend on it alone, wherever it stands in what was encoded
    (`alone`: it is all that was)."""
    encoded = [
        base64.b64encode(b"\0" * before + value)[-(-before * 4 // 3) : (before + len(value)) * 4 // 3]
        for before in range(1 if alone else 3)
    ]
    other = [form.translate(bytes.maketrans(b"+/", b"-_")) for form in encoded]
    return list(dict.fromkeys([value, *encoded, *other]))


def test_a_secret_is_found_wherever_it_stands_in_base64() -> None:
    value = random.token_urlsafe(48)
    for before in range(4):
        for text in (f"{'x' * before}{value}", f"{'x' * before}{value}yy"):
            encoded = base64.b64encode(text.encode())
            assert seen_in({"it": value}, [encoded[:40], encoded[40:]]) == {"it"}
    assert seen_in({"it": value}, [base64.b64encode(value[:-6].encode())]) == set()


def test_no_secret_is_seen_but_in_the_files_of_those_who_need_it(demo_stack: Deployed) -> None:
    secrets = secrets_of(demo_stack)
    assert seen_in(secrets, [SECRET[:9].encode(), SECRET[9:].encode()]) == {
        "jwt"
    }  # the search finds what is there
    containers = demo_stack.containers()
    roles = {container.labels["vaporforge.role"] for container in containers}
    assert roles >= PARTS
    assert not seen_in(others(secrets), on_this_machine()), "a process of this machine"
    for container in containers:
        role = container.labels["vaporforge.role"]
        places = dict(told_by(container))
        assert "PATH=" in places["environments"]
        for place, text in places.items():
            assert not seen_in(secrets, [text.encode()]), f"{place} of {container.name}"
        if role in FILES:
            files = run_in(container, "sh", "-c", "cat /run/secrets/*")
            assert seen_in(secrets, [files.encode()]) == FILES[role]
        assert not seen_in(secrets, [container.logs()]), f"logs of {container.name}"


def others(secrets: dict[str, str]) -> dict[str, str]:
    """Without the one that other tests give their own gateways."""
    return {name: value for name, value in secrets.items() if name != "jwt"}


def on_this_machine() -> Iterator[bytes]:
    """Arguments and environment of every process."""
    for path in [*Path("/proc").glob("[0-9]*/cmdline"), *Path("/proc").glob("[0-9]*/environ")]:
        with contextlib.suppress(OSError):  # it has ended
            yield path.read_bytes()


def told_by(container: Any) -> Iterator[tuple[str, str]]:
    """What the engine and the kernel tell of a container, by where they tell it."""
    yield "inspection", json.dumps(container.attrs)
    for what in ("environ", "cmdline"):
        command = f"cat /proc/[0-9]*/{what} 2>/dev/null | tr '\\0' '\\n'"
        status, output = container.exec_run(["sh", "-c", command])
        assert status == 0, output
        yield "environments" if what == "environ" else "arguments", output.decode(errors="replace")
    yield "list of processes", json.dumps(container.top())
    mounts = [mount["Name"] for mount in container.attrs["Mounts"] if mount["Type"] == "volume"]
    yield "volumes", json.dumps([container.client.volumes.get(name).attrs for name in mounts])


async def test_what_people_say_and_keep_is_in_no_part_s_files_or_words(demo_stack: Deployed) -> None:
    """Credential, title, prompt and answer: not in the table's files, nor in what any part tells of itself."""
    kept = {name: f"said-{random.token_hex(16)}" for name in ("credential", "title", "prompt")}
    async with reader() as http:
        put = {"credential": kept["credential"]}
        async with http.put(f"{demo_stack.url}/api/settings", json=put) as answer:
            assert answer.status == 200
        async with http.post(f"{demo_stack.url}/api/sessions", json={"title": kept["title"]}) as made:
            session = str((await made.json())["id"])
        query = {"sessionId": session, "prompt": f"Echo {kept['prompt']}"}
        async with http.ws_connect(f"{demo_stack.url}/api/sdk/ws", params=query) as socket:
            frames = await read_all(socket)
        assert kept["prompt"] in text_of(frames)
        async with http.get(f"{demo_stack.url}/api/sessions") as listed:
            assert kept["title"] in await listed.text()
    [table] = demo_stack.containers("vaporforge.role=table")
    for container in demo_stack.containers():
        if container.labels["vaporforge.role"] != "sandbox":  # which has the prompt
            assert not seen_in(kept, [container.logs()]), container.name
    files, _ = await asyncio.to_thread(table.get_archive, "/data")
    assert seen_in({**kept, "control": session}, files) == {"control"}


def test_no_secret_is_in_an_image(demo_stack: Deployed) -> None:
    secrets = secrets_of(demo_stack)
    found = [container.image for container in demo_stack.containers()]
    images = {image.id: image for image in found if image is not None}
    assert len(images) >= 3
    for image in images.values():
        assert not seen_in(secrets, [json.dumps([image.attrs, image.history()]).encode()])
        layers = seen_in({**secrets, "control": "manifest.json"}, image.save(chunk_size=16 << 20), alone=True)
        assert layers == {"control"}, image.tags


def test_no_secret_is_in_pulumi_s_state_or_what_else_a_deployment_writes(demo_stack: Deployed) -> None:
    secrets = secrets_of(demo_stack)
    files = [path for path in Path(demo_stack.environ["VF_STATE"]).rglob("*") if path.is_file()]
    assert [path for path in files if b"SecretFiles" in path.read_bytes()]
    for path in files:
        assert not seen_in(secrets, [path.read_bytes()]), path


async def test_a_rotation_is_not_noticed(demo_stack: Deployed) -> None:
    """Of the sandboxes' secret, which all parts share and a running sandbox keeps, and of two more: somebody reads,
    others ask, the run goes on in its sandbox, and what the user keeps stays. (`scripts/bench --parts rotation` has all
    of them.)"""
    before = secrets_of(demo_stack)["sandbox"]
    servers = {"notes": {"type": "stdio", "command": "true", "env": {"NOTES_TOKEN": "of-the-user"}}}
    async with reader() as http:
        async with http.put(f"{demo_stack.url}/api/settings", json={"mcpServers": servers}) as answer:
            assert answer.status == 200
        session = await session_of(http, demo_stack)
        run, frames = await begun(http, demo_stack, session)
        container = demo_stack.sandbox(session).id
        async with polled(demo_stack.url) as failed:
            rotating = asyncio.create_task(
                asyncio.to_thread(demo_stack.rotate, "sandbox", "credential", "launcher")
            )
            while not rotating.done():
                frames += await read_on(http, demo_stack, session, run, len(frames), rotating)
            await rotating
        assert failed == []
        async with http.get(f"{demo_stack.url}/api/settings") as answer:
            assert (await answer.json())["mcpServers"].keys() == servers.keys()
        used = demo_stack.containers("vaporforge.role=gateway")
        for gateway in used:
            told = run_in(gateway, "sh", "-c", "cat /run/secrets/vf_sandbox_secret_accepted")
            assert told == before
            assert run_in(gateway, "sh", "-c", "cat /run/secrets/vf_sandbox_secret") != before
        assert demo_stack.sandbox(session).id == container
        async with http.post(f"{demo_stack.url}/api/sdk/stop", json={"sessionId": session}) as stopped:
            assert stopped.status < 300, await stopped.text()
        frames += await read_on(http, demo_stack, session, run, len(frames))
        assert_whole(frames, "stopped")
        # The same sandbox takes the next prompt, and a new one is started.
        for asked in (session, await session_of(http, demo_stack)):
            query = {"sessionId": asked, "prompt": "hello"}
            async with http.ws_connect(f"{demo_stack.url}/api/sdk/ws", params=query) as socket:
                assert_whole(await read_all(socket))
        assert demo_stack.sandbox(session).id == container


async def begun(
    http: aiohttp.ClientSession, stack: Deployed, session: str
) -> tuple[str, list[dict[str, Any]]]:
    """A run that goes on until it is stopped: its id and its first frames."""
    query = {"sessionId": session, "prompt": "count to 200000 every 20 ms"}
    async with http.ws_connect(f"{stack.url}/api/sdk/ws", params=query) as socket:
        frames = numbered(await read_until(socket, "text-delta", 5))
    return frames[0]["run"], frames


async def read_on(
    http: aiohttp.ClientSession,
    stack: Deployed,
    session: str,
    run: str,
    after: int,
    until: asyncio.Task[None] | None = None,
) -> list[dict[str, Any]]:
    """The run's frames behind `after`, up to the connection's end, or until `until` is done."""
    query = {"sessionId": session, "run": run, "after": str(after)}
    frames: list[dict[str, Any]] = []
    async with http.ws_connect(f"{stack.url}/api/sdk/ws", params=query, max_msg_size=0) as socket:
        while until is None or not until.done():
            message = await socket.receive()
            if message.type is not aiohttp.WSMsgType.TEXT:
                break
            frames += [json.loads(line) for line in message.data.split("\n")]
    return numbered(frames)
