"""What the environment of a person's shell may say without breaking the scripts: proxies, and Docker's contexts."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"

DOCKER = """#!/bin/sh
# A client that knows the context `far`, and says of it what the real one does.
[ "$1 $2" = "context inspect" ] || exit 64
for name; do :; done
[ "$name" = far ] || { echo "context \\"$name\\" not found" >&2; exit 1; }
echo "tcp://far.example:2376 $HOME/tls"
"""


def told(home: Path, *names: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """What env.sh makes of the environment: a line for each of these variables."""
    (home / "bin").mkdir(exist_ok=True)
    client = home / "bin" / "docker"
    client.write_text(DOCKER)
    client.chmod(0o755)
    show = "; ".join(f'printf "%s\\n" "${{{name}:-}}"' for name in names)
    environ = {"HOME": str(home), "VF_CACHE": str(home / "c"), "VF_STATE": str(home / "s")}
    return subprocess.run(
        ["bash", "-euc", f'. "$0/lib/env.sh"; {show}', SCRIPTS],
        env=environ | {"PATH": f"{client.parent}:/usr/bin:/bin"} | environment,
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )


def use(home: Path, context: str) -> None:
    (home / ".docker").mkdir()
    (home / ".docker" / "config.json").write_text(
        json.dumps({"auths": {}, "currentContext": context}, indent=4)
    )


@pytest.mark.parametrize("how", ["use", "variable"])
def test_every_part_is_told_the_engine_of_the_context_in_use(tmp_path: Path, how: str) -> None:
    if how == "use":
        use(tmp_path, "far")
    (tmp_path / "tls" / "docker").mkdir(parents=True)
    variable = {"DOCKER_CONTEXT": "far"} if how == "variable" else {}
    done = told(
        tmp_path, "DOCKER_HOST", "DOCKER_CERT_PATH", "DOCKER_TLS_VERIFY", "DOCKER_CONTEXT", **variable
    )
    assert done.stdout.split("\n") == ["tcp://far.example:2376", f"{tmp_path}/tls/docker", "1", "", ""], done
    shutil.rmtree(tmp_path / "tls")
    assert told(tmp_path, "DOCKER_CERT_PATH", **variable).stdout == "\n"


def test_the_choice_is_the_docker_client_s(tmp_path: Path) -> None:
    assert told(tmp_path, "DOCKER_HOST").stdout == "\n"
    use(tmp_path, "far")
    assert (
        told(tmp_path, "DOCKER_HOST", DOCKER_HOST="unix:///here", DOCKER_CONTEXT="x").stdout
        == "unix:///here\n"
    )
    assert told(tmp_path, "DOCKER_HOST", DOCKER_CONTEXT="default").stdout == "\n"
    lost = told(tmp_path, "DOCKER_HOST", DOCKER_CONTEXT="lost")
    assert (lost.returncode, lost.stdout) == (1, "")
    assert "error: the Docker context lost cannot be used" in lost.stderr


@pytest.mark.parametrize(
    ("given", "exempt"),
    [
        ({}, ""),
        ({"HTTP_PROXY": "http://p:1"}, "localhost,127.0.0.1,::1"),
        ({"https_proxy": "http://p:1", "NO_PROXY": "localhost"}, "localhost,localhost,127.0.0.1,::1"),
        ({"HTTP_PROXY": "http://p:1", "no_proxy": ".corp"}, ".corp,localhost,127.0.0.1,::1"),
        ({"HTTP_PROXY": "http://p:1", "NO_PROXY": "a,127.0.0.1"}, "a,127.0.0.1"),
    ],
)
def test_what_listens_here_is_asked_without_a_proxy(
    tmp_path: Path, given: dict[str, str], exempt: str
) -> None:
    assert told(tmp_path, "NO_PROXY", "no_proxy", **given).stdout == f"{exempt}\n{exempt}\n"
