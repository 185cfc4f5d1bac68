"""A sandbox's container from outside: what is around it, and a process of one's own in it."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gateway.launcher.spec import AGENT_UID, SERVER_UID
from tests.attack.inside.facts import Facts
from tests.attack.scene import AttackError

if TYPE_CHECKING:
    from docker.models.containers import Container

    from tests.attack.deployed import AttackedStack

PROBES = Path(__file__).with_name("probes.py")
PROBE_SECONDS = 120
BROKER_PORT = 8081
PORTS = {"gateway": (8080,), "proxy": (8080,), "launcher": (8090,), "table": (8000,), "egress": (3128, 4750)}
"""The ports of the stack's parts that are not for sandboxes."""

SETTINGS = """
import json, os
from gateway.config import read_settings
settings = read_settings(os.environ)
print(json.dumps({name: getattr(settings, name) for name in ("jwt_secret", "sandbox_secret", "launcher_secret",
    "credential_key", "model_api_key", "proxy_secret") if getattr(settings, name)}))
"""


def facts_of(stack: AttackedStack, sandbox: Container) -> Facts:
    """See `Facts`. Raises `AttackError` where the sandbox is on no network, or has no token."""
    engine, label = stack.engine, f"vaporforge.stack=vaporforge-{stack.name}"
    all_ = engine.containers.list(filters={"label": label}, ignore_removed=True)
    by_role: dict[str, list[Container]] = {}
    for one in all_:
        by_role.setdefault(one.labels.get("vaporforge.role", ""), []).append(one)
    others = [one for one in by_role.get("sandbox", []) if one.id != sandbox.id]
    closed = [
        (f"{role} at {port}", host, port)
        for role, ports in PORTS.items()
        for one in by_role.get(role, [])
        for host in _addresses(one).values()
        for port in ports
    ]
    # The gateways are its neighbours, by any name.
    hidden = [one for one in all_ if one.id != sandbox.id and one.labels.get("vaporforge.role") != "gateway"]
    networks = {name for one in all_ for name in _addresses(one)}
    machine = [engine.networks.get(name).attrs["IPAM"]["Config"][0].get("Gateway", "") for name in networks]
    shared = set(_addresses(sandbox))
    near = [host for one in by_role["gateway"] for name, host in _addresses(one).items() if name in shared]
    if not near:
        raise AttackError("no gateway is on a network of the sandbox")
    environ: dict[str, str] = {
        name: value for name, _, value in (line.partition("=") for line in sandbox.attrs["Config"]["Env"])
    }
    return Facts(
        neighbours=[(f"a sandbox at {host}", host) for one in others for host in _addresses(one).values()],
        closed=closed,
        machine=[host for host in machine if host],
        published=int(stack.url().rsplit(":", 1)[1]),
        names=sorted(name for one in hidden for name in {str(one.name), *_aliases(one)}),
        server_pids=_servers(sandbox),
        secrets={**_secrets(by_role["gateway"][0]), **_tokens(others)},
        sandbox_token=environ["VF_SANDBOX_TOKEN"],
        broker_token=environ.get("ANTHROPIC_API_KEY", environ["VF_SANDBOX_TOKEN"]),
        forged_token=_forged(others),
        broker=(near[0], BROKER_PORT),
    )


def probed(sandbox: Container, server: bool, order: Mapping[str, Any]) -> list[str]:
    """What `probes.py` prints in the container. What it is told comes by its standard input: a command line is there to
    be read. Raises `AttackError` when it does not end well."""
    uid = SERVER_UID if server else AGENT_UID
    argv = ["docker", "exec", "-i", "-u", f"{uid}:{uid}", str(sandbox.id), "/opt/venv/bin/python", "-I", "-c"]
    try:
        done = subprocess.run(
            [*argv, PROBES.read_text()],
            input=json.dumps(order),
            capture_output=True,
            text=True,
            check=False,
            timeout=PROBE_SECONDS,
        )
    except subprocess.TimeoutExpired:
        raise AttackError(f"the probe {order['probe']} did not end in {PROBE_SECONDS} s") from None
    if done.returncode:
        raise AttackError(f"the probe {order['probe']} failed: {done.stderr.strip().splitlines()[-1:]}")
    could: list[str] = json.loads(done.stdout)
    return could


def _addresses(container: Container) -> dict[str, str]:
    joined = container.attrs["NetworkSettings"]["Networks"]
    return {name: str(one["IPAddress"]) for name, one in joined.items() if one["IPAddress"]}


def _aliases(container: Container) -> list[str]:
    joined = container.attrs["NetworkSettings"]["Networks"]
    return [alias for one in joined.values() for alias in one.get("Aliases") or [] if alias != "gateway"]


def _servers(sandbox: Container) -> list[int]:
    """The agent server's process ids as the sandbox itself counts."""
    _, listed = _run(sandbox, "sh", "-c", "grep -l -a container /proc/[0-9]*/cmdline", user="0")
    return [int(path.split("/")[2]) for path in listed.split() if path.startswith("/proc/")]


def _secrets(gateway: Container) -> dict[str, str]:
    code, answer = _run(gateway, "python", "-c", SETTINGS)
    if code:
        raise AttackError(f"a gateway does not tell its secrets: {answer[-200:]}")
    found: dict[str, str] = json.loads(answer)
    return {f"the stack's {name}": value for name, value in found.items()}


def _run(container: Container, *argv: str, user: str = "") -> tuple[int, str]:
    done: Any = container.exec_run(list(argv), user=user)
    return done.exit_code, done.output.decode()


def _tokens(others: list[Container]) -> dict[str, str]:
    return {
        f"the token of sandbox {number}": line.partition("=")[2]
        for number, one in enumerate(others)
        for line in one.attrs["Config"]["Env"]
        if line.startswith("VF_SANDBOX_TOKEN=")
    }


def _forged(others: list[Container]) -> str:
    """Another session's name, and a seal of nobody's."""
    session = others[0].labels["vaporforge.session"] if others else "nobody"
    return f"vfs1.{session}.{'0' * 64}"
