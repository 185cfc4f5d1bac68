"""The probes find what is there to be found: each is tried where there is no wall."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import threading
from typing import TYPE_CHECKING, Any

import pytest

from gateway.launcher.disk.usage import measure
from tests.attack.catalogue import INSIDE
from tests.attack.families import disk, inside
from tests.attack.families.inside import tried
from tests.attack.inside.containers import PROBES
from tests.attack.inside.probes import PROBES as NAMED
from tests.attack.scene import Quota

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.attack.attack import Attack


def probe(name: str, **order: Any) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-I", "-c", PROBES.read_text()],
        input=json.dumps({"probe": name, **order}),
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    could: list[str] = json.loads(done.stdout)
    return could


@pytest.fixture
def port() -> Iterator[int]:
    """Of a listener that answers whoever asks with 200."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer() -> None:
            while True:
                try:
                    peer, _ = listener.accept()
                except OSError:
                    return
                with peer:
                    peer.settimeout(5)
                    try:
                        if peer.recv(4096):
                            peer.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
                    except OSError:
                        continue

        threading.Thread(target=answer, daemon=True).start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)


def test_a_port_that_takes_a_connection_is_told(port: int) -> None:
    with socket.create_server(("127.0.0.1", 0)) as gone:
        closed = gone.getsockname()[1]
    targets = [("the open one", "127.0.0.1", port), ("the closed one", "127.0.0.1", closed)]
    assert probe("reached", targets=targets) == [f"reached the open one at port {port}"]


def test_an_answer_that_should_have_been_a_refusal_is_told(port: int) -> None:
    get = "GET / HTTP/1.1\r\nHost: x\r\n\r\n"
    requests = [("the key", get, [401]), ("health", get, [200])]
    assert probe("asked", host="127.0.0.1", port=port, requests=requests) == ["the key was answered 200"]


def test_a_name_that_is_known_is_told() -> None:
    assert probe("named", names=["localhost", "nobody.invalid"], addresses=[]) == ["localhost is 127.0.0.1"]


def test_a_secret_in_a_file_or_an_environment_is_told(tmp_path: Path) -> None:
    (tmp_path / "note").write_text("the key is hunter2-hunter2")
    holder = subprocess.Popen(["sleep", "60"], env={"KEY": "swordfish-swordfish"})
    try:
        values = {
            "the key": "hunter2-hunter2",
            "the word": "swordfish-swordfish",
            "the other": "nowhere-nowhere",
        }
        could = probe("secrets", values=values, roots=[str(tmp_path)])
    finally:
        holder.kill()
        holder.wait()
    assert f"the key is in {tmp_path}/note" in could
    assert f"the word is in /proc/{holder.pid}/environ" in could
    assert not [said for said in could if said.startswith("the other")]


def test_the_kernel_s_calls_are_not_made_by_root() -> None:
    with pytest.raises(SystemExit, match="root would be taken at its word"):
        NAMED["kernel"]({"uid": 0})


def test_every_wall_is_tried_with_both_rights_and_names_a_probe_that_there_is() -> None:
    assert {*inside.ATTACKS, *disk.ATTACKS} == set(INSIDE)
    assert {attack.family for attack in INSIDE} == {"agent", "replaced server"}
    assert {attack.gate for attack in INSIDE} == {"inside"}
    for attack in inside.ATTACKS:
        assert attack.work.func is tried  # type: ignore[attr-defined]
        assert attack.work.keywords["probe"] in NAMED  # type: ignore[attr-defined]


@pytest.mark.parametrize("attack", disk.ATTACKS[:5], ids=lambda attack: attack.name)
def test_what_is_tried_on_a_disk_is_more_than_a_session_may_have(attack: Attack, tmp_path: Path) -> None:
    quota = Quota(mb=8, inodes=200, idle_minutes=1)
    program = attack.work.keywords["program"](quota)  # type: ignore[attr-defined]
    folder = tmp_path / "workspace"
    folder.mkdir()
    try:
        subprocess.run(
            [sys.executable, "-I", "-c", program.replace("/workspace", str(folder))], check=True, timeout=60
        )
        used = measure([str(folder)])
    finally:  # it may be deeper than pytest's own clean-up can go
        subprocess.run(["rm", "-rf", str(folder)], check=True)
    assert used.endless or used.size > quota.mb << 20 or used.inodes > quota.inodes
