"""The demo agent: deterministic, no key and no network; it really streams, and really writes and reads files."""

from __future__ import annotations

import errno
import json
import os
import re
import signal
import stat
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import FrameType as StackFrame
from typing import Any, Final, Self

from container.agents.demo_texts import EXPLANATION, HELP
from container.agents.terminal import as_terminal_shows

DELAY_MS: Final = 15.0
"""Between two pieces of text, unless `VF_DEMO_DELAY_MS` or the prompt (`every 5 ms`) says otherwise."""

OUTPUT_CHARS: Final = 500
"""A tool's output in a frame is cut at this many characters."""

MAX_READ_BYTES: Final = 1024 * 1024
"""This much of a file is read."""

_CREATE: Final = re.compile(
    r"create (?:a |the )?file (?:called |named )?[`\"']?(?P<name>[^\s`\"']+)[`\"']?"
    r"(?: in (?P<folder>/?[^\s`\"']+))? (?:with|containing)(?: the text| the content)? "
    r"(?P<quote>['\"`])(?P<text>.*)(?P=quote)",
    re.IGNORECASE | re.DOTALL,
)
_READ: Final = re.compile(
    r"(?:read|show)(?: me)? (?:a |the )?file (?:called |named )?[`\"']?(?P<name>[^\s`\"'?]+)", re.IGNORECASE
)
_LIST: Final = re.compile(r"list (?:all |the |my )*files", re.IGNORECASE)
_COUNT: Final = re.compile(r"count to (?P<limit>\d{1,6})", re.IGNORECASE)
_LONG: Final = re.compile(r"write a long|detailed explanation|in detail", re.IGNORECASE)
_ECHO: Final = re.compile(r"\s*echo (?P<text>.*)", re.IGNORECASE | re.DOTALL)
_EVERY: Final = re.compile(r"\(?every (?P<ms>\d{1,5}(?:\.\d+)?) ?ms\)?", re.IGNORECASE)


class DemoAgent:
    """Answers queries one after another; SIGINT ends the answer that is on."""

    def __init__(self, home: Path, delay_ms: float) -> None:
        self._sessions = home / ".vaporforge" / "demo-sessions"
        self._default_delay = delay_ms / 1000
        self._delay = self._default_delay
        self._answering = False
        self._stopped = False
        self._text: list[str] = []

    def run(self) -> None:
        """Read queries from stdin until it ends."""
        signal.signal(signal.SIGINT, self._interrupted)
        self._send({"type": "ready"})
        for line in sys.stdin.buffer:
            if line.strip():
                self._answer(json.loads(line))
                self._send({"type": "ready"})

    def _interrupted(self, _number: int, _frame: StackFrame | None) -> None:
        self._stopped = self._answering

    def _answer(self, query: dict[str, Any]) -> None:
        self._text, self._stopped, self._answering = [], False, True
        prompt: str = query["prompt"]
        every = _EVERY.search(prompt)
        self._delay = float(every["ms"]) / 1000 if every else self._default_delay
        session = query.get("sdkSessionId") or f"demo-{query['sessionId']}"
        answers = self._count_answer(session)
        self._send({"type": "session-init", "sessionId": session})
        failed = self._reply(_EVERY.sub("", prompt).strip(), query, answers)
        self._answering = False
        if not failed and not self._stopped:
            words = len("".join(self._text).split())
            self._send(
                {
                    "type": "done",
                    "sessionId": session,
                    "fullText": "".join(self._text),
                    "usage": {"input_tokens": len(prompt.split()), "output_tokens": words},
                    "costUsd": 0,
                }
            )

    def _reply(self, prompt: str, query: dict[str, Any], answers: int) -> bool:
        """Answer the prompt; True when an `error` frame took the place of an answer."""
        cwd = Path(query.get("cwd") or ".")
        if found := _CREATE.search(prompt):
            self._create(found, cwd, plan=query.get("mode") == "plan")
        elif found := _READ.search(prompt):
            self._read(found["name"].rstrip(".,"), cwd)
        elif _LIST.search(prompt):
            self._list(cwd)
        elif found := _COUNT.search(prompt):
            self._say_all(f"{number} " for number in range(1, int(found["limit"]) + 1))
        elif found := _ECHO.fullmatch(prompt):
            self._say(found["text"])
        elif prompt.lower().startswith("fail"):
            self._say("This answer is about to fail. ")
            self._send(
                {"type": "error", "error": "The demo agent failed, as it was asked to.", "code": "demo"}
            )
            return True
        elif prompt.lower().startswith("crash"):
            self._say("This agent is about to crash. ")
            sys.stderr.write("demo agent: crashing, as asked\n")
            sys.stderr.flush()
            os._exit(3)
        elif _LONG.search(prompt):
            self._say(EXPLANATION)
        else:
            earlier = f"We have talked {answers - 1} times before in this session. " if answers > 1 else ""
            self._say(f"Hello! {earlier}{HELP}")
        return False

    def _create(self, found: re.Match[str], cwd: Path, *, plan: bool) -> None:
        path = self._path(cwd, found["folder"] or "", found["name"])
        shown = f"{(found['folder'] or str(cwd)).rstrip('/')}/{found['name']}"
        if plan:
            self._say(
                f"Plan: I would write the file `{shown}` with {len(found['text'])} characters, then check it. "
                "Nothing is written in plan mode."
            )
            return
        self._say(f"I'll create `{shown}` for you. ")
        with self._tool("Write", {"file_path": shown, "content": found["text"]}) as tool:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(found["text"], encoding="utf-8")
            tool.output = f"File created successfully at: {shown}"
        if not tool.failed:
            self._say(f"Done: `{shown}` now holds {len(found['text'])} characters.")

    def _read(self, name: str, cwd: Path) -> None:
        path = self._path(cwd, "", name)
        self._say(f"Let me read `{name}`. ")
        with self._tool("Read", {"file_path": name}) as tool:
            tool.output = _start_of(path)
        if not tool.failed:
            self._say(f"It has {len(tool.output)} characters:\n\n```\n{tool.output[:2000]}\n```\n")

    def _list(self, cwd: Path) -> None:
        self._say("Let me look. ")
        with self._tool("Glob", {"pattern": "*", "path": str(cwd)}) as tool:
            names = sorted(f"{entry.name}/" if entry.is_dir() else entry.name for entry in cwd.iterdir())
            tool.output = "\n".join(names)
        if not tool.failed:
            listing = "\n".join(f"- `{name}`" for name in tool.output.splitlines()[:200]) or "nothing yet"
            self._say(f"The workspace holds:\n\n{listing}\n")

    def _tool(self, name: str, tool_input: dict[str, Any]) -> _Tool:
        return _Tool(self._send, name, tool_input, self._delay)

    @staticmethod
    def _path(cwd: Path, folder: str, name: str) -> Path:
        """Where a file of the prompt lies: `/workspace` is what the workspace is called, wherever it is."""
        given = Path(folder) / name
        workspace = Path(os.environ.get("VF_WORKSPACE") or "/workspace")
        return (
            workspace / given.relative_to("/workspace") if given.is_relative_to("/workspace") else cwd / given
        )

    def _say(self, text: str) -> None:
        self._say_all(re.findall(r"\s*\S+\s?|\s+", text))

    def _say_all(self, pieces: Iterator[str] | list[str]) -> None:
        for piece in pieces:
            if self._is_stopped():
                return
            self._text.append(piece)
            self._send({"type": "text-delta", "text": piece})
            until = time.monotonic() + self._delay
            while time.monotonic() < until and not self._is_stopped():
                time.sleep(max(0.0, min(until - time.monotonic(), 0.02)))

    def _is_stopped(self) -> bool:
        return self._stopped  # SIGINT's handler sets it

    def _count_answer(self, session: str) -> int:
        """How many answers this session has had, this one included: kept in the home, so that it survives a restart."""
        path = self._sessions / re.sub(r"[^\w-]", "_", session)
        try:
            answers = int(path.read_text(encoding="ascii")) + 1
        except (OSError, ValueError):
            answers = 1
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(str(answers), encoding="ascii")
        except OSError as error:
            sys.stderr.write(f"demo agent: the count of answers is not kept: {error.strerror}\n")
        return answers

    @staticmethod
    def _send(frame: dict[str, Any]) -> None:
        line = memoryview(json.dumps(frame).encode() + b"\n")
        while line:
            line = line[os.write(1, line) :]


def _start_of(path: Path) -> str:
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, "Not a regular file", str(path))
        return file.read(MAX_READ_BYTES).decode("utf-8", "replace")


class _Tool:
    """A tool call: `tool-start` on entry, `tool-result` on exit, an OSError or a ValueError (a path or a text that the
    system does not take) as a failed result."""

    def __init__(self, send: Any, name: str, tool_input: dict[str, Any], delay: float) -> None:
        self._send, self._name, self._input, self._delay = send, name, tool_input, delay
        self._id = f"demo_{name.lower()}_{time.monotonic_ns()}"
        self.output = ""
        self.failed = False

    def __enter__(self) -> Self:
        self._send({"type": "tool-start", "id": self._id, "name": self._name, "input": self._input})
        time.sleep(min(self._delay * 4, 0.2))  # long enough to be seen running
        return self

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> bool:
        frame: dict[str, Any] = {"type": "tool-result", "id": self._id, "name": self._name}
        if error is not None and not isinstance(error, OSError | ValueError):
            return False
        if error is not None:
            self.failed = True
            frame["isError"] = True
            self.output = str(error)
            if isinstance(error, OSError) and error.filename:
                self.output = f"{error.strerror}: {error.filename}"
        shown = as_terminal_shows(self.output)
        cut = shown[:OUTPUT_CHARS]
        self._send({**frame, "output": cut if cut == shown else f"{cut}…"})
        return True


if __name__ == "__main__":
    DemoAgent(
        Path(os.environ.get("HOME") or "."), float(os.environ.get("VF_DEMO_DELAY_MS") or DELAY_MS)
    ).run()
