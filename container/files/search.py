"""Search in the workspace, by content and by name: ripgrep where there is one, else grep and find."""

from __future__ import annotations

import base64
import json
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from container.errors import BadRequest
from container.files import programs
from container.files.names import PARTIAL, Parts, encoded, shown
from container.uids import AgentUser

SECONDS: Final = 10.0
OUTPUT_BYTES: Final = 8 * 1024 * 1024
MOST_MATCHES: Final = 500
MOST_IN_A_FILE: Final = 50
LINE_CHARS: Final = 240
"""Of a line that matches, around its first match."""

MAX_QUERY_CHARS: Final = 1000

_NOT: Final = b"!.git"


@dataclass(frozen=True, slots=True)
class Query:
    """`text`: literal unless `regex`. `everything`: what git ignores too."""

    text: str
    regex: bool = False
    case: bool = False
    everything: bool = False

    def __post_init__(self) -> None:
        if not 0 < len(self.text) <= MAX_QUERY_CHARS or any(char in self.text for char in "\0\n\r"):
            raise BadRequest(f"q must be 1 to {MAX_QUERY_CHARS} characters of one line.", field="q")


@dataclass(slots=True)
class Found:
    """What was found. `truncated`: there may be more."""

    matches: list[dict[str, Any]] = field(default_factory=list)
    truncated: bool = False

    def add(self, match: dict[str, Any]) -> bool:
        """Whether it was taken; MOST_MATCHES are."""
        if len(self.matches) == MOST_MATCHES:
            self.truncated = True
            return False
        self.matches.append(match)
        return True


async def contents(query: Query, root: bytes, below: Parts, user: AgentUser, env: Mapping[str, str]) -> Found:
    """Lines that match, by file: `{path,name,line,column,text}`. Raises BadRequest for a bad pattern."""
    rg = shutil.which("rg", path=env.get("PATH"))
    argv = _ripgrep(query) if rg else _grep(query)
    cwd = b"/".join((root, *below))
    said = await programs.run(argv, cwd, user, env, limit=OUTPUT_BYTES, seconds=SECONDS)
    if said.code not in (None, 0, 1) and not said.output:
        raise BadRequest("q is no pattern that can be searched for, or path is no folder.", field="q")
    found = Found(truncated=not said.whole)
    for name, line, text, at in _by_ripgrep(said.output) if rg else _by_grep(said.output, query):
        parts = (*below, *name.removeprefix(b"./").split(b"/"))
        told = {
            "path": encoded(parts),
            "name": shown(b"/".join(parts)),
            "line": line,
            "column": at + 1,
            "text": _around(text, at),
        }
        if not found.add(told):
            break
    return found


async def names(query: Query, root: bytes, below: Parts, user: AgentUser, env: Mapping[str, str]) -> Found:
    """Files whose path has the text: `{path,name}`, the shortest first."""
    rg = shutil.which("rg", path=env.get("PATH"))
    listed = (
        (b"rg", b"--no-config", b"--files", b"--null", b"--hidden", b"--glob", _NOT, *_all(query), b".")
        if rg
        else (b"find", b".", b"-name", b".git", b"-prune", b"-o", b"-type", b"f", b"-print0")
    )
    cwd = b"/".join((root, *below))
    said = await programs.run(listed, cwd, user, env, limit=OUTPUT_BYTES, seconds=SECONDS)
    wanted = query.text if query.case else query.text.lower()
    found = Found(truncated=not said.whole)
    hits = []
    for raw in said.output.split(b"\0")[:-1]:
        parts = (*below, *raw.removeprefix(b"./").split(b"/"))
        name = shown(b"/".join(parts))
        if wanted in (name if query.case else name.lower()) and not parts[-1].startswith(PARTIAL):
            hits.append((len(name), name, parts))
    for _, name, parts in sorted(hits):
        if not found.add({"path": encoded(parts), "name": name}):
            break
    return found


def _all(query: Query) -> tuple[bytes, ...]:
    return (b"--no-ignore",) if query.everything else ()


def _ripgrep(query: Query) -> tuple[bytes, ...]:
    return (
        *(
            b"rg",
            b"--no-config",
            b"--json",
            b"--hidden",
            b"--one-file-system",
            b"--no-messages",
            b"--glob",
            _NOT,
        ),
        *(b"--threads", b"2", b"--max-count", str(MOST_IN_A_FILE).encode(), b"--max-filesize", b"16M"),
        *_all(query),
        *(() if query.regex else (b"--fixed-strings",)),
        b"--case-sensitive" if query.case else b"--ignore-case",
        *(b"--regexp", query.text.encode("utf-8", "replace"), b"--", b"."),
    )


def _grep(query: Query) -> tuple[bytes, ...]:
    return (
        *(b"grep", b"-rnIZs", b"-D", b"skip", b"--exclude-dir=.git", b"-m", str(MOST_IN_A_FILE).encode()),
        *(() if query.everything else (b"--exclude-dir=node_modules",)),
        b"-E" if query.regex else b"-F",
        *(() if query.case else (b"-i",)),
        *(b"-e", query.text.encode("utf-8", "replace"), b"--", b"."),
    )


Line = tuple[bytes, int, str, int]
"""A file's name, a line's number, its text, and where in it the match is, in characters."""


def _by_ripgrep(output: bytes) -> Iterator[Line]:
    for line in output.split(b"\n")[:-1]:
        try:
            told = json.loads(line)
        except ValueError:
            continue  # names without bytes in UTF-8 come as base64; what is left is cut off
        if told["type"] != "match":
            continue
        data = told["data"]
        raw = _bytes(data["lines"])
        at = data["submatches"][0]["start"] if data["submatches"] else 0
        text = raw.rstrip(b"\r\n").decode("utf-8", "replace")
        yield _bytes(data["path"]), data["line_number"], text, len(raw[:at].decode("utf-8", "replace"))


def _bytes(told: dict[str, str]) -> bytes:
    return told["text"].encode() if "text" in told else base64.b64decode(told["bytes"])


def _by_grep(output: bytes, query: Query) -> Iterator[Line]:
    wanted = query.text if query.case else query.text.lower()
    rest = output
    while (end := rest.find(b"\0")) >= 0:
        name, rest = rest[:end], rest[end + 1 :]
        whole, newline, rest = rest.partition(b"\n")
        number, _, raw = whole.partition(b":")
        if not newline or not number.isdigit():
            return
        text = raw.decode("utf-8", "replace")
        at = 0 if query.regex else max(0, (text if query.case else text.lower()).find(wanted))
        yield name, int(number), text, at


def _around(text: str, at: int) -> str:
    begin = max(0, min(at - LINE_CHARS // 4, len(text) - LINE_CHARS))
    return text[begin : begin + LINE_CHARS]
