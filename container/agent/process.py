"""One operating-system process of an agent: spawn, lines in and out, signals to its process tree, bounded end."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import logging
import os
import signal
import struct
import termios
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO, Final, cast

from container.agent.lines import MAX_STDERR_LINE, Line, LineFramer, Texts
from container.agent.process_tree import ProcessTree
from container.agent.spared import Spared
from container.uids import SAME, AgentUser

log = logging.getLogger(__name__)

DRAIN_SECONDS: Final = 1.0
"""How long output is still read after the process ended, should something that it started hold the pipe."""

TERM_SECONDS: Final = 1.0
"""Time between SIGTERM and SIGKILL, for the agent and for all that it has started."""

STDOUT, STDERR = 1, 2

_THERE: Final = ("/bin/sh", "-c", 'cd -- "$0" && exec "$@"')
"""Goes to a folder that may be closed to the agent server, as the agent."""


class _Output(asyncio.Protocol):
    """One of the agent's two outputs."""

    def __init__(self, agent: AgentProcess, fd: int) -> None:
        self._agent = agent
        self._fd = fd

    def data_received(self, data: bytes) -> None:
        self._agent.pipe_data_received(self._fd, data)

    def connection_lost(self, exc: Exception | None) -> None:
        self._agent.pipe_connection_lost(self._fd, exc)


class AgentProcess(asyncio.SubprocessProtocol):
    """A running agent, leader of a process group and root of a process tree. Output arrives by callback, in order,
    as it is read; reading never waits for anyone."""

    def __init__(
        self,
        on_lines: Callable[[AgentProcess, list[Line]], None],
        on_stderr: Callable[[AgentProcess, list[Line]], None],
        on_texts: Callable[[AgentProcess, Texts], bool] | None,
        tree: ProcessTree,
    ) -> None:
        loop = asyncio.get_running_loop()
        self._on_lines = on_lines
        self._on_stderr = on_stderr
        self._on_texts = on_texts
        self._tree = tree
        self._sweeping: asyncio.Task[None] | None = None
        """Ends the tree, once `close` was asked to."""
        self._framers = {STDOUT: LineFramer(), STDERR: LineFramer(MAX_STDERR_LINE)}
        self._transport: asyncio.SubprocessTransport | None = None
        self._outputs: list[asyncio.BaseTransport] = []
        self._stderr = -1
        self._drained = loop.create_future()
        self._open_pipes = {STDOUT, STDERR}
        self.ended: asyncio.Future[int] = loop.create_future()
        """The exit code, shell fashion (128 + n for signal n), once all output was delivered."""
        self.pid = 0

    @classmethod
    async def spawn(
        cls,
        argv: Sequence[str],
        env: Mapping[str, str],
        cwd: Path,
        user: AgentUser = SAME,
        *,
        on_lines: Callable[[AgentProcess, list[Line]], None],
        on_stderr: Callable[[AgentProcess, list[Line]], None],
        on_texts: Callable[[AgentProcess, Texts], bool] | None = None,
        spared: Spared | None = None,
    ) -> AgentProcess:
        """Start `argv` in a new session, as `user`. Raises OSError when the program or `cwd` cannot be had; where the
        user is another one, the process ends by itself then.

        `on_texts`: is given what comes of stdout where all of it is plain texts; unless it takes them, they come as
        lines. `spared`: what of the user's is not its."""
        loop = asyncio.get_running_loop()
        tree = ProcessTree(user, spared)
        program = argv[0]
        if user.is_apart:
            argv, cwd = (*_THERE, str(cwd), *argv), Path("/")
        protocol = cls(on_lines, on_stderr, on_texts, tree)
        try:
            with contextlib.ExitStack() as theirs:
                written = [theirs.enter_context(await protocol._output(fd, user)) for fd in (STDOUT, STDERR)]
                await loop.subprocess_exec(
                    lambda: protocol,
                    *argv,
                    stdout=written[0],
                    stderr=written[1],
                    env={**env, **tree.environment},
                    cwd=cwd,
                    start_new_session=True,
                    **user.spawn_arguments,
                )
        except BaseException:
            protocol._close_outputs()
            raise
        log.info("agent process %d started: %s", protocol.pid, program)
        return protocol

    async def _output(self, fd: int, user: AgentUser) -> IO[bytes]:
        """Read a new pipe of `user`'s, who may then open /dev/stdout and /dev/stderr; its other end."""
        with user.acting():
            read, write = os.pipe2(os.O_CLOEXEC)
        with contextlib.ExitStack() as ends:
            written = ends.enter_context(os.fdopen(write, "wb", buffering=0))
            reading = ends.enter_context(os.fdopen(read, "rb", buffering=0))
            if fd == STDERR:
                self._stderr = read
            loop = asyncio.get_running_loop()
            self._outputs.append((await loop.connect_read_pipe(lambda: _Output(self, fd), reading))[0])
            ends.pop_all()
        return written

    def _close_outputs(self) -> None:
        for output in self._outputs:
            output.close()

    @property
    def is_alive(self) -> bool:
        """Whether the process runs (or is stopped by a signal)."""
        return self._transport is not None and self._transport.get_returncode() is None

    def read_stderr(self) -> None:
        """Deliver what is in the pipe of stderr now, before the event loop would: what the agent wrote there before the
        line of stdout that was read last."""
        if STDERR not in self._open_pipes:
            return
        waiting = struct.unpack("i", fcntl.ioctl(self._stderr, termios.FIONREAD, bytes(4)))[0]
        while waiting > 0:  # no longer: it may be written for ever
            data = os.read(self._stderr, waiting)
            self.pipe_data_received(STDERR, data)
            waiting -= len(data)

    def members(self) -> set[int]:
        """The pids of the agent and of all that it has started; takes some milliseconds."""
        return self._tree.members()

    def send(self, line: bytes) -> None:
        """Write one line to the agent's stdin. A process that is gone shows by `ended`, never here."""
        stdin = self._transport and self._transport.get_pipe_transport(0)
        if stdin is not None and not stdin.is_closing():
            cast("asyncio.WriteTransport", stdin).write(line + b"\n")

    def interrupt(self) -> None:
        """SIGINT to the agent alone: what it runs is its own to end."""
        if self.is_alive:
            with contextlib.suppress(
                ProcessLookupError
            ):  # it ended, and the event loop has not heard of it yet
                os.kill(self.pid, signal.SIGINT)

    def signal_tree(self, number: signal.Signals) -> None:
        """Send a signal to the agent and to all that it has started; none left is fine."""
        self._tree.signal(number)

    async def close(self, *, grace: float = 0.0) -> int:
        """End it: stdin closed and `grace` seconds to go by itself, then TERM, then KILL to the tree; the exit code.

        Takes at most `grace` + TERM_SECONDS + DRAIN_SECONDS and a moment. May be called twice.
        """
        if grace and self.is_alive and self._transport is not None:
            stdin = self._transport.get_pipe_transport(0)
            if stdin is not None:
                stdin.close()
            await self._wait(grace)
        if self.is_alive and self._sweeping is None:
            self._sweeping = asyncio.create_task(self._sweep(), name=f"sweep-{self.pid}")
        return await asyncio.shield(self.ended)

    async def _sweep(self) -> None:
        self.signal_tree(signal.SIGTERM)
        self.signal_tree(signal.SIGCONT)  # a paused tree takes TERM only when it goes on
        try:
            await self._tree.gone(TERM_SECONDS)
        finally:
            self.signal_tree(signal.SIGKILL)

    async def _wait(self, seconds: float) -> None:
        await asyncio.wait([self.ended], timeout=seconds)

    # What the event loop calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.SubprocessTransport", transport)
        self.pid = self._tree.leader = self._transport.get_pid() or 0

    def pipe_data_received(self, fd: int, data: bytes) -> None:
        framer = self._framers[fd]
        texts = framer.feed_texts(data) if fd == STDOUT and self._on_texts is not None else None
        if texts is None:
            lines = framer.feed(data)
        elif self._on_texts is not None and self._on_texts(self, texts):
            return
        else:
            lines = texts.lines
        if lines:
            (self._on_lines if fd == STDOUT else self._on_stderr)(self, lines)

    def pipe_connection_lost(self, fd: int, _exc: Exception | None) -> None:
        if fd not in self._open_pipes:
            return
        self._open_pipes.discard(fd)
        lines = self._framers[fd].finish()
        if lines:
            (self._on_lines if fd == STDOUT else self._on_stderr)(self, lines)
        if not self._open_pipes and not self._drained.done():
            self._drained.set_result(None)

    def process_exited(self) -> None:
        if self._sweeping is None:  # else what is left has the time to end by itself
            self.signal_tree(signal.SIGKILL)
        asyncio.get_running_loop().create_task(self._finish())

    async def _finish(self) -> None:
        if (
            self._sweeping is not None
        ):  # the next process may be started behind `ended`, and is not to be swept away
            await asyncio.wait([self._sweeping])
        await asyncio.wait([self._drained], timeout=DRAIN_SECONDS)
        assert self._transport is not None  # noqa: S101 - set in connection_made
        code = self._transport.get_returncode() or 0
        self._transport.close()
        self._close_outputs()
        log.info("agent process %d ended: %d", self.pid, code)
        if not self.ended.done():
            self.ended.set_result(128 - code if code < 0 else code)
