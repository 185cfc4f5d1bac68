"""Where the secrets of a deployed stack can be seen: in the files of those who need them, and nowhere else."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from infra.generated import NAMES
from tests.e2e.deployed import run_in
from tests.gateway.stack import SECRET

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
    found = {name: _plain(made["outputs"][name]) for name in NAMES}
    assert all(len(value) >= 32 for value in found.values())
    return {**found, "jwt": SECRET}


def _plain(value: Any) -> str:
    return str(json.loads(value["plaintext"]) if isinstance(value, dict) else value)


def seen_in(secrets: dict[str, str], chunks: Iterable[bytes]) -> set[str]:
    """The names of the secrets that are in a stream of bytes, also across its chunks."""
    longest, behind, found = max(map(len, secrets.values())), b"", set[str]()
    for chunk in chunks:
        data = behind + chunk
        found |= {name for name, value in secrets.items() if value.encode() in data}
        behind = data[-longest:]
    return found


def test_no_secret_is_seen_but_in_the_files_of_those_who_need_it(demo_stack: Deployed) -> None:
    secrets = secrets_of(demo_stack)
    assert seen_in(secrets, [SECRET[:9].encode(), SECRET[9:].encode()]) == {
        "jwt"
    }  # the search finds what is there
    containers = demo_stack.containers()
    roles = {container.labels["vaporforge.role"] for container in containers}
    assert roles >= PARTS
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


def test_no_secret_is_in_an_image(demo_stack: Deployed) -> None:
    secrets = secrets_of(demo_stack)
    found = [container.image for container in demo_stack.containers()]
    images = {image.id: image for image in found if image is not None}
    assert len(images) >= 3
    for image in images.values():
        assert not seen_in(secrets, [json.dumps([image.attrs, image.history()]).encode()])
        layers = seen_in({**secrets, "control": "manifest.json"}, image.save(chunk_size=16 << 20))
        assert layers == {"control"}, image.tags


def test_no_secret_is_in_pulumi_s_state_or_what_else_a_deployment_writes(demo_stack: Deployed) -> None:
    secrets = secrets_of(demo_stack)
    files = [path for path in Path(demo_stack.environ["VF_STATE"]).rglob("*") if path.is_file()]
    assert [path for path in files if b"SecretFiles" in path.read_bytes()]
    for path in files:
        assert not seen_in(secrets, [path.read_bytes()]), path
