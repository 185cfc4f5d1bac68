"""The agent server's settings, read once from the environment, and the environment that it gives to an agent."""

from __future__ import annotations

import math
import os
import shlex
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from container.egress import proxy_environment
from container.git import git_environment
from container.protocol import AGENT_PORT, RUN_ID, SEED_PENDING_PATH
from container.uids import SAME, AgentUser

CODE_ROOT: Final = Path(__file__).resolve().parent.parent
"""The folder that holds the `container` package."""

RESTORE_BYTES: Final = 16 * 1024**3
"""What a snapshot may unpack to, unless `VF_RESTORE_BYTES` says otherwise."""

TERMINALS: Final = 8
TERMINAL_BYTES: Final = 2 * 1024 * 1024
"""How many terminals a sandbox has at once, and how much of each one's output it keeps, unless `VF_TERMINALS` and
`VF_TERMINAL_BYTES` say otherwise."""

NOT_THE_AGENTS: Final = frozenset({"VF_SANDBOX_TOKEN", "VF_START"})
"""Variables of the agent server that no agent is told."""

WORKSPACE: Final = "/workspace"
"""What the workspace is called in prompts and in `cwd`, wherever it lies."""


class SettingsError(ValueError):
    """A variable is missing or has a bad value; the message names it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentCommand:
    """How the agent is started. `kept`: known to say `ready`, so it is never replaced to give it a query's env."""

    argv: tuple[str, ...]
    kept: bool
    cwd: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Everything that can be set from outside. `port` 0: any free one, written to `port_file`. `state`: what is the
    agent server's own and is kept. `user`: whom the agent runs as. `start`: what the driver calls this start of the
    sandbox; empty when it calls it nothing."""

    token: str
    session: str
    agent: AgentCommand
    host: str
    port: int
    port_file: Path | None
    workspace: Path
    home: Path
    state: Path
    pending_dir: Path
    seed_pending: Path
    lost_reason: str
    start: str = ""
    restore_bytes: int = RESTORE_BYTES
    terminals: int = TERMINALS
    terminal_bytes: int = TERMINAL_BYTES
    redact: bool = True
    """Whether secrets are struck from frames."""
    user: AgentUser = SAME

    @classmethod
    def from_env(cls, env: Mapping[str, str], user: AgentUser = SAME) -> Settings:
        """Raises SettingsError naming the variable at fault."""
        session = env.get("VF_SESSION", "")
        if not RUN_ID.fullmatch(session):
            raise SettingsError(f"VF_SESSION must match {RUN_ID.pattern}, not {session!r}")
        token = env.get("VF_SANDBOX_TOKEN", "")
        if not token:
            raise SettingsError("VF_SANDBOX_TOKEN must be the sandbox's token; it is missing")
        workspace = _directory(env, "VF_WORKSPACE", WORKSPACE)
        home = _directory(env, "VF_HOME", "/home/agent")
        _check_delay(env.get("VF_DEMO_DELAY_MS") or "0")
        return cls(
            token=token,
            session=session,
            agent=_agent_command(env.get("VF_AGENT", "demo"), workspace),
            host=env.get("VF_HOST", "0.0.0.0"),  # noqa: S104 - a sandbox is reached from its network only
            port=_port(env.get("VF_PORT", str(AGENT_PORT))),
            port_file=Path(env["VF_PORT_FILE"]) if env.get("VF_PORT_FILE") else None,
            workspace=workspace,
            home=home,
            state=_state_dir(env, home),
            pending_dir=_pending_dir(env, session),
            seed_pending=Path(env.get("VF_SEED_PENDING_PATH") or SEED_PENDING_PATH),
            lost_reason=env.get("VF_LOST_REASON", ""),
            start=_start(env.get("VF_START", "")),
            restore_bytes=_size(env, "VF_RESTORE_BYTES", RESTORE_BYTES),
            terminals=_whole(env, "VF_TERMINALS", TERMINALS, most=64),
            terminal_bytes=_whole(
                env, "VF_TERMINAL_BYTES", TERMINAL_BYTES, least=64 * 1024, most=64 * 1024**2
            ),
            redact=_flag(env, "VF_REDACT", default=True),
            user=user,
        )

    @property
    def runs_dir(self) -> Path:
        """Where the frame logs are."""
        return self.state / "runs"

    @property
    def old_runs_dir(self) -> Path:
        """Where they are without a folder of the server's own."""
        return self.home / ".vaporforge" / "runs"

    @property
    def jobs_file(self) -> Path:
        """What background jobs there are."""
        return self.home / ".vaporforge" / "jobs.json"

    @property
    def git_identity(self) -> Path:
        """What stands in place of the system's git configuration."""
        return self.home / ".vaporforge" / "gitconfig"


def agent_environment(
    settings: Settings, process_env: Mapping[str, str], query_env: Mapping[str, str]
) -> dict[str, str]:
    """The environment an agent is started with: the agent server's own, but for what opens the sandbox
    (`NOT_THE_AGENTS`), where its programs find the proxy and git its hosts, the agent's home, and a query's on top."""
    theirs = {name: value for name, value in process_env.items() if name not in NOT_THE_AGENTS}
    own = {"HOME": str(settings.home), "VF_WORKSPACE": str(settings.workspace)}
    return {**theirs, **proxy_environment(theirs), **git_environment(theirs), **own, **query_env}


def _agent_command(agent: str, workspace: Path) -> AgentCommand:
    if agent in {"demo", "claude"}:
        # The code's own folder is the module path, so that a file in the workspace shadows nothing.
        return AgentCommand(
            argv=(sys.executable, "-m", f"container.agents.{agent}"), kept=True, cwd=CODE_ROOT
        )
    try:
        argv = tuple(shlex.split(agent))
    except ValueError as error:
        raise SettingsError(f"VF_AGENT is no command line: {error}") from error
    if not argv:
        raise SettingsError("VF_AGENT must be demo, claude, or a command line; it is empty")
    return AgentCommand(argv=argv, kept=False, cwd=workspace)


def _port(text: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text) > 65535:
        raise SettingsError(f"VF_PORT must be 0 to 65535, not {text!r}")
    return int(text)


def _size(env: Mapping[str, str], name: str, default: int) -> int:
    text = env.get(name) or str(default)
    if not text.isascii() or not text.isdigit() or not 0 < int(text) < 2**63:
        raise SettingsError(f"{name} must be a number of bytes, not {text!r}")
    return int(text)


def _whole(env: Mapping[str, str], name: str, default: int, *, least: int = 0, most: int) -> int:
    text = env.get(name) or str(default)
    if not text.isascii() or not text.isdigit() or len(text) > 15 or not least <= int(text) <= most:
        raise SettingsError(f"{name} must be a whole number from {least} to {most}, not {text!r}")
    return int(text)


def _flag(env: Mapping[str, str], name: str, *, default: bool) -> bool:
    text = env.get(name) or str(default).lower()
    if text not in {"true", "false"}:
        raise SettingsError(f"{name} must be true or false, not {text!r}")
    return text == "true"


def _start(text: str) -> str:
    if text and not RUN_ID.fullmatch(text):
        raise SettingsError(f"VF_START must match {RUN_ID.pattern}, not {text!r}")
    return text


def _check_delay(text: str) -> None:
    """The demo agent reads this one itself, and would fail at each start."""
    try:
        delay = float(text)
    except ValueError:
        delay = math.nan
    if not 0 <= delay < math.inf:
        raise SettingsError(f"VF_DEMO_DELAY_MS must be a number of milliseconds, not {text!r}")


def _directory(env: Mapping[str, str], name: str, default: str) -> Path:
    path = Path(env.get(name) or default)
    if not path.is_dir():
        raise SettingsError(f"{name} must be an existing directory; {path} is none")
    return path.resolve()


def _state_dir(env: Mapping[str, str], home: Path) -> Path:
    """`VF_SERVER_STATE`, unless that is another user's: the image names the one that it has for the agent server's."""
    given = env.get("VF_SERVER_STATE")
    return Path(given) if given and os.access(given, os.W_OK | os.X_OK) else home / ".vaporforge"


def _pending_dir(env: Mapping[str, str], session: str) -> Path:
    if env.get("VF_PENDING_DIR"):
        return Path(env["VF_PENDING_DIR"])
    mounted = Path("/run/vaporforge")
    return mounted if os.access(mounted, os.W_OK) else Path("/dev/shm") / f"vaporforge-{session}"  # noqa: S108 - a tmpfs, mode 0700
