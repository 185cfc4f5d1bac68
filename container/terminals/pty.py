"""A pseudo-terminal with a shell on it: bytes out by callback, bytes in without waiting, its size, its end."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import fcntl
import os
import pty
import signal
import struct
import termios
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

from container.agent.spared import Spared, processes_of
from container.uids import AgentUser

READ_BYTES: Final = 64 * 1024
"""At most read at once; the kernel gives some 4 KiB at a time."""

LAST_BYTES: Final = 1024 * 1024
"""More than a terminal holds for who reads it (tty(4)): what comes behind so many is of no shell that has ended."""

DRAIN_SECONDS: Final = 1.0
"""How long output is still read after the shell ended, should something that it started hold the terminal."""

HANGUP_SECONDS: Final = 0.5
"""Between SIGHUP, which ends a shell, and SIGKILL, for all that was started in a terminal."""

_IUTF8: Final = 0o40000
"""Erasing takes whole characters (termios(3)); Python's module has no name for it."""

_THERE: Final = ("/bin/sh", "-c", 'exec <>"$0" >&0 2>&0; cd -- "$1" && shift && exec "$@"')
"""As the leader of a session, open the terminal, which becomes the session's own (tty_ioctl(4)), go to a folder that
may be closed to the agent server, and become the shell."""


class Pty:
    """Use `open`. `on_output` gets what the terminal says, `wants` bytes at most and nothing while that is 0: then
    the terminal fills up, and who writes to it waits. `ended` is called once, with the exit code (128 + n for signal
    n), when all was said."""

    def __init__(
        self,
        on_output: Callable[[bytes], None],
        wants: Callable[[], int],
        ended: Callable[[int], None],
        spared: Spared,
    ) -> None:
        """`spared`: knows the shell while it runs, as nothing of the agent's."""
        self._loop = asyncio.get_running_loop()
        self._spared = spared
        self._on_output, self._wants, self._ended = on_output, wants, ended
        self._master = -1
        self._process: asyncio.subprocess.Process | None = None
        self._reads = self._writes = False
        self._waiting = bytearray()
        self._read_bytes = 0
        self._hung_up = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self.written = asyncio.Event()
        """Set while nothing waits to be written."""
        self.written.set()

    async def open(
        self,
        argv: Sequence[str],
        env: Mapping[str, str],
        cwd: Path,
        user: AgentUser,
        size: tuple[int, int],
    ) -> None:
        """Start `argv` in `cwd`, as `user`, on a terminal of `size` (columns, rows). Raises OSError."""
        with user.acting():  # so that the terminal is that user's
            self._master, slave = pty.openpty()
        try:
            os.set_blocking(self._master, False)
            self.resize(*size)
            settings = termios.tcgetattr(slave)
            settings[0] |= _IUTF8
            termios.tcsetattr(slave, termios.TCSANOW, settings)
            self._process = await asyncio.create_subprocess_exec(
                *_THERE,
                os.ttyname(slave),
                str(cwd),
                *argv,
                stdin=slave,
                stdout=slave,
                stderr=slave,
                env=dict(env),
                cwd="/",
                start_new_session=True,
                **user.spawn_arguments,
            )
        except BaseException:
            os.close(self._master)
            self._master = -1
            raise
        finally:
            os.close(slave)
        self._spared.leaders.add(self.pid)
        self._task = asyncio.create_task(self._serve(self._process), name=f"terminal-{self.pid}")
        self.read_on()

    @property
    def pid(self) -> int:
        """The shell's, which is its session's and its group's number."""
        return self._process.pid if self._process is not None else 0

    @property
    def is_busy(self) -> bool:
        """Whether something else than the shell is in the foreground."""
        if self._master < 0:
            return False
        with contextlib.suppress(OSError):
            group: int = struct.unpack("i", fcntl.ioctl(self._master, termios.TIOCGPGRP, bytes(4)))[0]
            return group not in (0, self.pid)
        return False

    def resize(self, cols: int, rows: int) -> None:
        """Tell the terminal its size; whoever runs in it hears of it (SIGWINCH)."""
        if self._master >= 0:
            fcntl.ioctl(self._master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, cols, 0, 0))

    def write(self, data: bytes) -> None:
        """Type `data`; what the terminal does not take yet waits, until `written` is set. One that has ended takes
        nothing."""
        if self._master >= 0:
            self._waiting += data
            self._write_on()

    def _write_on(self) -> None:
        try:
            while self._waiting:
                del self._waiting[: os.write(self._master, self._waiting)]
        except BlockingIOError:
            pass
        except OSError:  # nobody has it open any more
            self._waiting.clear()
        if bool(self._waiting) != self._writes:
            self._writes = not self._writes
            if self._writes:
                self._loop.add_writer(self._master, self._write_on)
                self.written.clear()
            else:
                self._loop.remove_writer(self._master)
                self.written.set()

    def read_on(self) -> None:
        """Read while more is wanted: to be called when that changes."""
        wants = self._master >= 0 and self._wants() > 0 and not self._hung_up.is_set()
        if wants != self._reads:
            self._reads = wants
            if wants:
                self._loop.add_reader(self._master, self._read)
            else:
                self._loop.remove_reader(self._master)

    def _read(self) -> None:
        try:
            data = os.read(self._master, min(READ_BYTES, self._wants()))
        except BlockingIOError:
            return
        except OSError as error:
            if error.errno != errno.EIO:
                raise
            data = b""  # nobody has it open any more
        if data:
            self._read_bytes += len(data)
            self._on_output(data)
        else:
            self._hung_up.set()
        self.read_on()

    async def _serve(self, process: asyncio.subprocess.Process) -> None:
        code = await process.wait()
        self._spared.leaders.discard(process.pid)  # another process may get its number
        # What waits for a slow reader is read when that goes on: a shell's last words are not lost. What it has left
        # running in the background may go on writing for ever: that is not waited for.
        enough = self._read_bytes + LAST_BYTES
        while not self._hung_up.is_set() and self._read_bytes < enough:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(DRAIN_SECONDS):
                    await self._hung_up.wait()
            if self._reads and not self._unread():
                break
        self._close()
        self._ended(128 - code if code < 0 else code)

    def _unread(self) -> int:
        return int(struct.unpack("i", fcntl.ioctl(self._master, termios.FIONREAD, bytes(4)))[0])

    def _close(self) -> None:
        master, self._master = self._master, -1
        self._waiting.clear()
        self.written.set()
        self._loop.remove_reader(master)
        self._loop.remove_writer(master)
        os.close(master)

    async def close(self) -> None:
        """Hang up: end the shell and all that is in its session. Takes at most a second or two; may be called twice."""
        if self._task is None:
            return
        if not self._task.done():
            leader = self.pid
            _signal_each(leader, signal.SIGHUP)
            _signal_each(leader, signal.SIGCONT)  # what is halted takes it only when it goes on
            await asyncio.wait([self._task], timeout=HANGUP_SECONDS)
            _signal_each(leader, signal.SIGKILL)
            self._hung_up.set()
        await asyncio.shield(self._task)


def _signal_each(leader: int, number: signal.Signals) -> None:
    for pid in processes_of([leader]):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, number)
