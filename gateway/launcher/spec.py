"""What a sandbox's container is, by the stack's settings and a session's id alone: names, limits, hardening."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any, Final

from docker.types import LogConfig, Mount, Ulimit

from container.protocol import AGENT_PORT, sandbox_token
from gateway.launcher.confinement import MASKED, seccomp_profile
from gateway.sandboxes.drivers.fingerprint import fingerprint_of

if TYPE_CHECKING:
    from docker import APIClient

    from gateway.launcher.settings import LauncherSettings

STACK_LABEL: Final = "vaporforge.stack"
SESSION_LABEL: Final = "vaporforge.session"
IMAGE_LABEL: Final = "vaporforge.image"
ROLE_LABEL: Final = "vaporforge.role"
START_LABEL: Final = "vaporforge.start"
ROLE: Final = "sandbox"

AGENT_UID: Final = 10001
"""Uid and gid of the agent and all that it starts; the workspace and the home are this user's."""

SERVER_UID: Final = 10002
"""Uid and gid of the agent server."""

USER: Final = "0:0"
"""Of the first process, which has CAPABILITIES and no other: the agent server becomes SERVER_UID with them."""

CAPABILITIES: Final = ("KILL", "SETGID", "SETPCAP", "SETUID")
"""What it takes to start and to signal the agent as another user; the agent has none (container/uids.py)."""

MIB: Final = 1024 * 1024

TMPFS: Final = {
    "/tmp": f"rw,exec,nosuid,nodev,size=512m,nr_inodes=100k,uid={AGENT_UID},gid={AGENT_UID},mode=0700",  # noqa: S108 - its own
    "/run/vaporforge": f"rw,noexec,nosuid,nodev,size=16m,nr_inodes=4k,uid={SERVER_UID},gid={SERVER_UID},mode=0700",
}
"""The writable places besides the volumes. Build tools run what they put into /tmp; pending queries are never run."""

CPU_SHARES: Final = 128
"""An eighth of a container's usual 1,024: while all are busy the stack's own parts go first."""

OOM_SCORE_ADJ: Final = 500
"""When the machine runs out of memory a sandbox is ended before any part of the stack: half of the machine's memory is
added to what it uses (proc(5), oom_score_adj). Another prompt wakes it again; without a gateway nobody has one."""

NO_DNS: Final = "192.0.2.1"
"""An address of nobody (RFC 5737): names of other containers come from the engine itself, and engines before 23.0.11
would ask the host's resolver for all others, a way out of an internal network."""

NO_HOST_ADDRESS: Final = {"com.docker.network.bridge.inhibit_ipv4": "true"}
"""The host gets no address on a session's network: its own services would be reached through it."""

VOLUMES: Final = {"workspace": "/workspace", "home": "/home/agent", "state": "/var/lib/vaporforge"}
"""The agent's two, and the agent server's own, with the frame logs."""


def container_name(settings: LauncherSettings, session: str) -> str:
    """Unique on the engine, so that two launchers cannot start two containers for one session. Who is on a network with
    it (the way out that sandboxes share) finds the name by the address: it tells nothing of the session."""
    return f"{settings.stack}-sandbox-{_name(settings, session)}"


def network_name(settings: LauncherSettings, session: str) -> str:
    """Of the session's own network."""
    return f"{settings.stack}-net-{_name(settings, session)}"


def volume_names(settings: LauncherSettings, session: str) -> dict[str, str]:
    """Volume name → mount point."""
    return {f"{settings.stack}-{session}-{name}": target for name, target in VOLUMES.items()}


def _name(settings: LauncherSettings, session: str) -> str:
    """Of no secret, as these are rotated while sandboxes run."""
    return hashlib.sha256(f"vaporforge: name: {settings.stack}: {session}".encode()).hexdigest()[:24]


def labels(settings: LauncherSettings, session: str) -> dict[str, str]:
    """On the container, its network and its volumes: everything is found by them."""
    return {STACK_LABEL: settings.stack, SESSION_LABEL: session, ROLE_LABEL: ROLE}


def label_filter(settings: LauncherSettings, session: str = "") -> dict[str, list[str]]:
    """The engine's filter for all that is of the stack's sandboxes, or of one session's."""
    wanted = labels(settings, session)
    if not session:
        del wanted[SESSION_LABEL]
    return {"label": [f"{name}={value}" for name, value in wanted.items()]}


def environment(
    settings: LauncherSettings, session: str, lost_reason: str, start: str = ""
) -> dict[str, str]:
    """All that a sandbox is told; its token is its only secret, and opens nothing but itself and the broker. `start`:
    a name of this start, which the agent's key at the broker is made of."""
    token = sandbox_token(settings.sandbox_secret.encode(), session)
    return {
        "VF_SANDBOX_TOKEN": token,
        "VF_SESSION": session,
        "VF_AGENT": settings.agent,
        "VF_MODEL": settings.model,
        "VF_REDACT": str(settings.redact).lower(),
        "VF_HOST": "0.0.0.0",  # noqa: S104 - of its own network namespace
        "VF_PORT": str(AGENT_PORT),
        "VF_WORKSPACE": VOLUMES["workspace"],
        "VF_HOME": VOLUMES["home"],
        "VF_PENDING_DIR": "/run/vaporforge",
        "VF_LOST_REASON": lost_reason,
        "VF_START": start,
        "HOME": VOLUMES["home"],
        "ANTHROPIC_BASE_URL": settings.broker_url,
        **({"VF_EGRESS_PROXY": settings.egress_proxy} if settings.egress_proxy else {}),
        **({"VF_GIT_HOSTS": settings.git_hosts} if settings.git_hosts else {}),
    }


def fingerprint(settings: LauncherSettings) -> str:
    """Of the containers that `create_arguments` describes, by all of the settings that it reads."""
    return fingerprint_of(
        settings.sandbox_secret,
        settings.image,
        settings.networks,
        settings.egress_proxy,
        settings.git_hosts,
        str(settings.memory_mb),
        str(settings.cpus),
        str(settings.pids),
        settings.broker_url,
        settings.agent,
        settings.model,
        str(settings.redact),
        settings.runtime,
        seccomp_profile(),
        *MASKED,
    )


def create_arguments(
    api: APIClient, settings: LauncherSettings, session: str, lost_reason: str, start: str = ""
) -> dict[str, Any]:
    """The arguments of the engine's `create_container`."""
    return {
        "name": container_name(settings, session),
        "use_config_proxy": False,
        "image": settings.image,
        "user": USER,
        "environment": environment(settings, session, lost_reason, start),
        "labels": {**labels(settings, session), IMAGE_LABEL: settings.image, START_LABEL: start},
        # The gateway asks /ping when it matters; an exec every few seconds in each sandbox would cost more.
        "healthcheck": {"test": ["NONE"]},
        "host_config": _host_config(api, settings, session),
    }


def _host_config(api: APIClient, settings: LauncherSettings, session: str) -> dict[str, Any]:
    made: dict[str, Any] = api.create_host_config(
        network_mode=network_name(settings, session),
        dns=[NO_DNS],
        mounts=[
            Mount(target, name, type="volume") for name, target in volume_names(settings, session).items()
        ],
        tmpfs=TMPFS,
        read_only=True,
        cap_drop=["ALL"],
        cap_add=list(CAPABILITIES),
        security_opt=["no-new-privileges:true", f"seccomp={seccomp_profile()}"],
        pids_limit=settings.pids,
        mem_limit=settings.memory_mb * MIB,
        memswap_limit=settings.memory_mb * MIB,
        nano_cpus=int(settings.cpus * 1_000_000_000),
        cpu_shares=CPU_SHARES,
        oom_score_adj=OOM_SCORE_ADJ,
        ulimits=[Ulimit(name="core", soft=0, hard=0)],
        restart_policy={"Name": "no"},
        log_config=LogConfig(type="json-file", config={"max-size": "10m", "max-file": "2"}),
        runtime=settings.runtime or None,
    )
    return {**made, "MaskedPaths": list(MASKED)}  # of the engine's API; its SDK has no argument for it
