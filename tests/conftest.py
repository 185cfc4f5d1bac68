"""What every test may ask for: DynamoDB Local for the whole session, and a store on a table of its own."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import gc
import importlib
import os
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Any

import botocore.session
import hypothesis
import hypothesis.internal.conjecture.providers
import pytest
from xdist.scheduler.loadfile import LoadFileScheduling

from container.redaction.known import is_secret
from gateway.config import Settings
from gateway.ids import new_id
from gateway.store.dynamo import DynamoStore
from tests.gateway.fault_proxy import FaultProxy
from tests.gateway.store.store_table import RETRY_SECONDS, empty

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Mapping

# No timing is asserted: a busy machine is slow to draw values, and to run an example.
hypothesis.settings.register_profile(
    "vaporforge",
    deadline=None,
    max_examples=50,
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
)
hypothesis.settings.load_profile("vaporforge")

# It draws numbers and words of the project's own modules too, of those that are loaded: with them a seed would give
# other values on each worker, and what fails in CI would pass here.
vars(hypothesis.internal.conjecture.providers)["is_local_module_file"] = lambda _: False

# A gateway makes a client once. Tests make hundreds, and each would read and keep the whole model of DynamoDB.
botocore.session.create_loader = functools.cache(botocore.session.create_loader)

# The SDK of the real agent imports jsonschema, which makes 38 grammars of these at each start, where it finds them: a
# second and a half of each worker's, for formats that nobody here asks about.
sys.modules["rfc3987_syntax"] = None  # type: ignore[assignment]

# The agent server strikes the environment's secrets, and waits where a text may be the beginning of one: with what CI
# or pytest-xdist put there, some at random, a test of frames would see others on each run.
for _name in [name for name, value in os.environ.items() if is_secret(name, value)]:
    del os.environ[_name]

TESTS = Path(__file__).parent
ROOT = TESTS.parent
START_SECONDS = 300  # the first start on a machine fetches DynamoDB Local with Maven
LIVE_SECONDS = 240
"""A live test's time, unless it says otherwise: it starts processes, and on a busy machine each of them takes long."""


DAY_SECONDS, MIDNIGHT_SECONDS = 86400, 30
"""No test of real parts begins so shortly before midnight; most take less."""

LIVE = frozenset({"aws_endpoint", "dynamodb_endpoint", "s3_endpoint", "start", "claude", "demo"})
"""Fixtures that start something real. A test that asks for one, itself or through another, is marked `live`."""

END_TO_END_TOOLS = ("chromium", "debootstrap", "docker", "nginx", "pulumi")
"""What only the set-up of end-to-end tests brings. Other tests must pass on a machine that has none of them."""


SHARED_STACK = "demo_stack"
"""A fixture (tests/e2e/deployed.py) that several files ask for, and that takes a minute."""

OWN_FOLDER = pytest.StashKey[str]()
"""Where a run keeps its files, unless it was told where."""


@pytest.hookimpl(tryfirst=True)  # before pytest chooses one
def pytest_configure(config: pytest.Config) -> None:
    """SIGTERM ends a run as Ctrl-C does: what the fixtures started is ended. Ctrl-C is taken also where a script began
    the run in the background: it is ignored there, and would be in all that a test starts. A run has a folder of its
    own: of pytest's numbered ones each run takes earlier ones away, and fails where it cannot."""
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if config.option.basetemp is None:
        config.option.basetemp = config.stash[OWN_FOLDER] = tempfile.mkdtemp(prefix="vf-tests-")


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """Behind a run that failed its files are looked at. `rm`, for some are a thousand folders deep."""
    folder = session.config.stash.get(OWN_FOLDER, "")
    if folder and exitstatus in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED):
        subprocess.run(["rm", "-rf", "--", folder], check=False, stderr=subprocess.DEVNULL)


def pytest_collection(session: pytest.Session) -> None:
    """Every worker imports every test, and all begin at once: in a fresh clone each would compile all of them. With a
    share of its own for each they find most of it done by the others."""
    worker, count = (
        os.environ.get("PYTEST_XDIST_WORKER"),
        int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1")),
    )
    if worker is None or session.config.option.file_or_dir:
        return
    left_out = [ROOT / path for path in session.config.option.ignore or ()]
    files = [file for file in sorted(TESTS.rglob("test_*.py")) if not any(map(file.is_relative_to, left_out))]
    for file in files[int(worker.removeprefix("gw")) :: count]:
        # What cannot be imported pytest tells better.
        with contextlib.suppress(Exception):
            importlib.import_module(".".join(file.relative_to(ROOT).with_suffix("").parts))


class FilesOfOneStack(LoadFileScheduling):  # type: ignore[misc]
    """File by file, but files whose tests share the deployed stack are one worker's."""

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        return SHARED_STACK if _asks_for_shared_stack(file) else file


@functools.cache
def _asks_for_shared_stack(file: str) -> bool:
    return f"{SHARED_STACK}: Deployed" in (ROOT / file).read_text(encoding="utf-8")


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LoadFileScheduling | None:
    """Where tests are handed out by files. (pytest-xdist 3.8 sees no groups with pytest 9.2: no `loadgroup`.)"""
    return FilesOfOneStack(config, log) if config.getoption("dist") == "loadfile" else None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tell live tests from those that a person runs at every save."""
    for item in items:
        if LIVE.intersection(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.live)
            if item.get_closest_marker("timeout") is None:
                item.add_marker(pytest.mark.timeout(LIVE_SECONDS))


def pytest_runtest_setup(item: pytest.Item) -> None:
    """What is counted and chained by the day begins anew at 00:00 UTC: a test of real parts lies on one side of it."""
    left = DAY_SECONDS - time.time() % DAY_SECONDS
    if left < MIDNIGHT_SECONDS and any(map(item.get_closest_marker, ("live", "e2e"))):
        time.sleep(left)


def pytest_collection_finish() -> None:
    """What stays until the end the garbage collector need not look through again and again: a fifth of the time."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def no_tools(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for PATH in which every tool of the end-to-end tests says that it is not there."""
    folder = tmp_path_factory.mktemp("no-tools")
    for name in END_TO_END_TOOLS:
        tool = folder / name
        tool.write_text(
            f"#!/bin/sh\necho 'error: only tests that are marked e2e have {name}' >&2\nexit 127\n"
        )
        tool.chmod(0o755)
    return folder


@pytest.fixture(autouse=True)
def tools_of_the_set_up(
    request: pytest.FixtureRequest, no_tools: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A test meets no tool that its phase's set-up does not bring, also where the machine has it."""
    if request.node.get_closest_marker("e2e") is None:
        monkeypatch.setenv("PATH", f"{no_tools}:{os.environ['PATH']}")
        monkeypatch.setenv("DOCKER_HOST", f"unix://{no_tools}/engine.sock")


def free_port() -> int:
    """A TCP port that was free a moment ago, and that nobody gets by chance: the kernel gives those from 32768 on to
    clients, and to servers on port 0 (ip(7), ip_local_port_range)."""
    while True:
        port = 16384 + secrets.randbelow(16384)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


def wait_for_http(url: str, process: subprocess.Popen[bytes]) -> None:
    """Poll until `url` answers anything at all. Raises `RuntimeError` when its process ends first, or never answers."""
    deadline, pause = time.monotonic() + START_SECONDS, 0.05
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise RuntimeError(f"{process.args!r} ended with {process.returncode}")
        try:
            with urllib.request.urlopen(url, timeout=2):
                return
        except urllib.error.HTTPError as answer:
            answer.close()
            return
        except OSError:
            time.sleep(pause)
            pause = min(0.5, pause * 1.5)
    raise RuntimeError(f"{url} does not answer")


@contextlib.contextmanager
def server(
    command: list[str], url: str, log: Path, environment: Mapping[str, str] | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """A process that serves `url`, once it answers; then it is ended. Raises `RuntimeError` with its log's end."""
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, stdout=output, stderr=subprocess.STDOUT, env={**os.environ, **(environment or {})}
        )
    try:
        try:
            wait_for_http(url, process)
        except RuntimeError as error:
            raise RuntimeError(f"{error}: {log.read_text()[-2000:]}") from None
        yield process
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(10)


@contextlib.contextmanager
def ministack(service: str, log: Path) -> Iterator[str]:
    """The URL of a ministack that has one of AWS's services alone, in memory. It is shown no Docker engine: at its
    start it would take the containers of every other ministack there for what a run before has left, and end them."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    environment = {
        "GATEWAY_PORT": str(port),
        "BIND_HOST": "127.0.0.1",
        "SERVICES": service,
        "IOT_MTLS_ENABLED": "0",
        "LOG_LEVEL": "WARNING",
        "DOCKER_HOST": f"unix://{log.parent}/no-engine.sock",
    }
    with server([sys.executable, "-m", "ministack"], url, log, environment):
        yield url


@pytest.fixture(scope="session")
def dynamodb_endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a DynamoDB Local in memory."""
    port = free_port()
    endpoint = f"http://127.0.0.1:{port}"
    command = [str(ROOT / "scripts" / "dynamodb"), "--port", str(port)]
    with server(command, endpoint, tmp_path_factory.mktemp("dynamodb") / "log"):
        asyncio.run(_make_a_table(endpoint))
        yield endpoint


async def _make_a_table(endpoint: str) -> None:
    """Its first table takes DynamoDB Local as long as its start: on a busy machine longer than a store waits."""
    first = DynamoStore(settings_for(endpoint, "first"), retry_seconds=START_SECONDS)
    try:
        await first.open()
    finally:
        await first.close()


def settings_for(endpoint: str, table: str) -> Settings:
    """Settings of a store that makes its table."""
    secret = "s" * 32
    return Settings(
        stack="test",
        jwt_secret=secret,
        sandbox_secret=secret,
        credential_key=secret,
        table=table,
        table_create=True,
        dynamodb_endpoint=endpoint,
    )


@pytest.fixture
def store_settings(dynamodb_endpoint: str) -> Settings:
    """Settings of a store whose table nobody else uses."""
    return settings_for(dynamodb_endpoint, f"test-{new_id()}")


@pytest.fixture
async def store(store_settings: Settings) -> AsyncIterator[DynamoStore]:
    """An open store on a table of its own."""
    opened = DynamoStore(store_settings, retry_seconds=RETRY_SECONDS)
    await opened.open()
    try:
        yield opened
    finally:
        await opened.close()


@pytest.fixture(scope="module")
def shared_settings(dynamodb_endpoint: str) -> Settings:
    """Settings of a store whose table is the module's own."""
    return settings_for(dynamodb_endpoint, f"shared-{new_id()}")


@pytest.fixture(scope="module")
def module_store(shared_settings: Settings) -> Iterator[DynamoStore]:
    """One client and one table for a module: making them is most of what a short test would cost."""
    opened = DynamoStore(shared_settings, retry_seconds=RETRY_SECONDS)
    asyncio.run(opened.open())
    yield opened
    asyncio.run(opened.close())


@pytest.fixture
async def shared_store(module_store: DynamoStore) -> AsyncIterator[DynamoStore]:
    """The module's store, emptied after the test."""
    yield module_store
    await empty(module_store)


@pytest.fixture
async def fault_proxy(dynamodb_endpoint: str) -> AsyncIterator[FaultProxy]:
    """A proxy to DynamoDB Local that does no harm until it is told to."""
    async with FaultProxy(dynamodb_endpoint, seed=7) as proxy:
        yield proxy
