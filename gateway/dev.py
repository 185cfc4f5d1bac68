"""`python -m gateway --dev`: all of VaporForge on this machine without Docker, for work on the page and the gateway."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import json
import logging
import os
import secrets
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Final

from gateway.concurrency.alone import alone_in
from gateway.config import ConfigError, Settings, read_settings
from gateway.logs import configure_logging
from gateway.sandboxes.drivers.process import ProcessDriver
from gateway.secretfiles import SUFFIX
from gateway.serve import serve
from gateway.store.blobs.factory import make_blobs
from gateway.store.dynamo import DynamoStore
from gateway.web.request.auth import mint

logger = logging.getLogger(__name__)

AGENTS: Final = ("demo", "claude")
COMMAND: Final = "python -m gateway --dev"
USER: Final = "developer"
TOKEN_SECONDS: Final = 30 * 24 * 3600.0
DYNAMODB: Final = Path(__file__).resolve().parents[1] / "scripts" / "dynamodb"
DYNAMODB_SECONDS: Final = 300.0
"""Its first start may have to fetch it."""
STOP_SECONDS: Final = 5.0
PR_SET_PDEATHSIG: Final = 1

_GENERATED: Final = ("VF_JWT_SECRET", "VF_SANDBOX_SECRET", "VF_CREDENTIAL_KEY")


async def run(environ: Mapping[str, str], *, port: int, agent: str) -> None:
    """Start DynamoDB Local and the gateway, say where, serve until told to stop, stop what was started.

    Other `VF_*` variables of `environ` win over what is chosen here. Raises `ConfigError` when something cannot start,
    and, before anything is touched, when another process has this state or these sandboxes.
    """
    state = state_folder(environ)
    async with contextlib.AsyncExitStack() as stack:
        stack.enter_context(alone_in(state, f"end it, or choose another folder: VF_STATE=FOLDER {COMMAND}"))
        settings = dev_settings(environ, state, port=port, agent=agent)
        configure_logging(settings.log_level)
        root = Path(settings.process_root)
        stack.enter_context(alone_in(root, f"end it, or choose another: VF_PROCESS_ROOT=FOLDER {COMMAND}"))
        driver = ProcessDriver(settings, root)
        if not environ.get("VF_DYNAMODB_ENDPOINT"):
            await stack.enter_async_context(dynamodb(settings.dynamodb_endpoint, state))
        stack.push_async_callback(_stop_sandboxes, driver)
        await serve(
            settings,
            store=DynamoStore(settings),
            driver=driver,
            blobs=make_blobs(settings),
            listening=lambda at: _announce(settings, at),
        )


def state_folder(environ: Mapping[str, str]) -> Path:
    """Where the development mode keeps its secrets, table and sandboxes: a folder for this user alone."""
    home = environ.get("XDG_STATE_HOME") or os.path.join(environ.get("HOME", "."), ".local", "state")  # noqa: PTH118
    state = Path(environ.get("VF_STATE") or Path(home) / "vaporforge") / "dev"
    state.mkdir(parents=True, exist_ok=True)
    state.chmod(0o700)
    return state


def dev_settings(environ: Mapping[str, str], state: Path, *, port: int, agent: str) -> Settings:
    """The settings of the development mode. Raises `ConfigError`."""
    kept = _kept_secrets(state / "secrets.json")
    return read_settings(
        {
            **{name: value for name, value in kept.items() if not environ.get(name + SUFFIX, "").strip()},
            "VF_STACK": "dev",
            "VF_HOST": "127.0.0.1",
            "VF_BROKER_PORT": str(_free_port()),
            # Sandboxes are processes here, and share this machine's one address.
            "VF_SANDBOX_CONNECTIONS": "512",
            # They reach the network anyway.
            "VF_MODEL_NETWORK_TOOLS": "true",
            "VF_DRIVER": "process",
            "VF_PROCESS_ROOT": str(state / "sandboxes"),
            "VF_DYNAMODB_ENDPOINT": f"http://127.0.0.1:{_free_port()}",
            "VF_TABLE_CREATE": "true",
            **{name: value for name, value in environ.items() if name.startswith("VF_") and value.strip()},
            "VF_PORT": str(port),
            "VF_AGENT": agent,
        }
    )


@contextlib.asynccontextmanager
async def dynamodb(endpoint: str, state: Path) -> AsyncIterator[None]:
    """DynamoDB Local at `endpoint`, its data under `state`; ended when the block is left. Raises `ConfigError`."""
    port = int(endpoint.rpartition(":")[2])
    log_file = state / "dynamodb.log"
    with log_file.open("wb") as log:
        # A session of its own: the terminal's Ctrl-C is the gateway's, which needs the table until it has drained.
        process = await asyncio.create_subprocess_exec(
            DYNAMODB,
            "--port",
            str(port),
            "--data",
            state / "dynamodb",
            stdout=log,
            stderr=log,
            start_new_session=True,
            preexec_fn=_end_with_parent,
        )
    try:
        await _wait_open(process, port, log_file)
        yield
    finally:
        await _end(process)


async def _wait_open(process: asyncio.subprocess.Process, port: int, log_file: Path) -> None:
    deadline = time.monotonic() + DYNAMODB_SECONDS
    pause = 0.05
    while time.monotonic() < deadline:
        if process.returncode is not None:
            raise ConfigError(f"DynamoDB Local ended with status {process.returncode}; its log is {log_file}")
        with contextlib.suppress(OSError):
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.close()
            return
        await asyncio.sleep(pause)
        pause = min(pause * 1.5, 0.5)
    raise ConfigError(
        f"DynamoDB Local did not open port {port} in {DYNAMODB_SECONDS:g} s; its log is {log_file}"
    )


def _end_with_parent() -> None:
    """For a child before its program starts: SIGTERM when its parent is gone, also by SIGKILL (prctl(2))."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


async def _end(process: asyncio.subprocess.Process) -> None:
    if process.returncode is not None:
        return
    process.terminate()
    try:
        async with asyncio.timeout(STOP_SECONDS):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()


async def _stop_sandboxes(driver: ProcessDriver) -> None:
    """Every sandbox under the development mode's root is its own; their folders stay."""
    await asyncio.gather(*(driver.stop(sandbox.session) for sandbox in await driver.list()))
    await driver.close()


def _announce(settings: Settings, port: int) -> None:
    token = mint(
        USER,
        TOKEN_SECONDS,
        secret=settings.jwt_secret,
        audience=settings.jwt_audience,
        issuer=settings.jwt_issuer,
    )
    sys.stdout.write(f"VaporForge is at http://{_reached_at(settings.host)}:{port}/#token={token}\n")
    sys.stdout.flush()


def _reached_at(host: str) -> str:
    """The bound address, as a URL has it: `localhost` has two, and the other may be another program's."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - nothing is bound here
    return f"[{host}]" if ":" in host else host


def _kept_secrets(path: Path) -> dict[str, str]:
    """Secrets made at the first start and kept, so that sessions and tokens outlive a restart."""
    try:
        kept = json.loads(path.read_text())
    except FileNotFoundError:
        kept = {name: secrets.token_hex(32) for name in _GENERATED}
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            json.dump(kept, file)
    return {name: str(kept[name]) for name in _GENERATED}


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
