"""A query: what is to be answered, checked field by field; and the store where it waits until its run starts."""

from __future__ import annotations

import json
import os
import re
import stat
import sys
from pathlib import Path, PurePosixPath
from typing import Any, Final

from container.errors import BadRequest, PayloadTooLarge
from container.protocol import MAX_PROMPT_CHARS, RUN_ID
from container.settings import WORKSPACE
from container.uids import SAME, AgentUser

MAX_QUERY_BYTES: Final = 2 * 1024 * 1024
"""Longest query as JSON: the longest prompt with every character escaped, and room for env and mcpServers."""

_ENV_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}")
_REFUSED_ENV: Final = re.compile(r"PATH|HOME|LD_.*|VF_.*")
_MODEL: Final = re.compile(r"[\w.:/@\[\]-]{1,200}")


def read_query(data: bytes, workspace: Path, session: str) -> dict[str, Any]:
    """The query in `data`, a JSON object, with every field set: `{prompt, sessionId, cwd, env, mode, model,
    mcpServers, sdkSessionId}`, and `author` where given; fields that are not known are left out.

    Raises BadRequest naming the field at fault.
    """
    given = _json_object(data, "The body")
    return {
        "prompt": _prompt(given.get("prompt")),
        "sessionId": _identifier(given, "sessionId") or session,
        "cwd": str(directory(given.get("cwd"), workspace)),
        "env": _env(given.get("env")),
        "mode": _mode(given.get("mode")),
        "model": _model(given.get("model")),
        "mcpServers": _mcp_servers(given.get("mcpServers")),
        "sdkSessionId": _identifier(given, "sdkSessionId"),
        **_author(given.get("author")),
    }


def _json_object(data: bytes, what: str) -> dict[str, Any]:
    try:
        given = json.loads(data, parse_int=_whole)
    except (ValueError, RecursionError) as error:
        raise BadRequest(f"{what} must be a JSON object ({error}).", field="body") from None
    if not isinstance(given, dict):
        raise BadRequest(f"{what} must be a JSON object.", field="body")
    return given


def _whole(digits: str) -> int | None:
    """Nothing for more digits than Python reads: each field then says what it must be."""
    return int(digits) if len(digits) <= sys.int_info.default_max_str_digits else None


def _prompt(prompt: Any) -> str:
    if not isinstance(prompt, str) or not 1 <= len(prompt) <= MAX_PROMPT_CHARS:
        raise BadRequest(f"prompt must be a text of 1 to {MAX_PROMPT_CHARS:,} characters.", field="prompt")
    return prompt


def _identifier(given: dict[str, Any], field: str) -> str | None:
    value = given.get(field)
    if value is None or value == "":
        return None
    if not isinstance(value, str) or not RUN_ID.fullmatch(value):
        raise BadRequest(f"{field} must match {RUN_ID.pattern}.", field=field)
    return value


def directory(cwd: Any, workspace: Path) -> Path:
    """An existing directory of the sandbox, the workspace where none is given; `/workspace` is it wherever it lies.
    Raises BadRequest."""
    if cwd is None or cwd == "":
        return workspace
    if not isinstance(cwd, str) or "\0" in cwd or len(cwd) > 4096:
        raise BadRequest("cwd must be a path.", field="cwd")
    path = PurePosixPath(cwd)
    if path.is_relative_to(WORKSPACE):
        path = path.relative_to(WORKSPACE)
    directory = workspace / path
    try:
        exists = directory.is_dir()
    except OSError:  # a name that is too long, a folder that is closed to this user
        exists = False
    if not exists:
        raise BadRequest(f"cwd must be an existing directory of the sandbox; {cwd} is none.", field="cwd")
    return directory


def _env(env: Any) -> dict[str, str]:
    if env is None:
        return {}
    if not isinstance(env, dict) or len(env) > 256:
        raise BadRequest("env must be an object of at most 256 texts.", field="env")
    for name, value in env.items():
        if not _ENV_NAME.fullmatch(name) or _REFUSED_ENV.fullmatch(name):
            raise BadRequest(f"env.{name} must not be set by a query.", field=f"env.{name}")
        if not isinstance(value, str) or "\0" in value or len(value) > 65536:
            raise BadRequest(f"env.{name} must be a text of at most 65,536 characters.", field=f"env.{name}")
    return env


def _mode(mode: Any) -> str:
    if mode not in (None, "", "agent", "plan"):
        raise BadRequest("mode must be agent or plan.", field="mode")
    return mode or "agent"


def _model(model: Any) -> str | None:
    if model is None or model == "":
        return None
    if not isinstance(model, str) or not _MODEL.fullmatch(model):
        raise BadRequest("model must be a model's name.", field="model")
    return model


def _mcp_servers(servers: Any) -> dict[str, Any]:
    if servers is None:
        return {}
    if not isinstance(servers, dict):
        raise BadRequest("mcpServers must be an object of server configurations.", field="mcpServers")
    for name, config in servers.items():
        if not isinstance(config, dict):
            raise BadRequest(f"mcpServers.{name} must be an object.", field=f"mcpServers.{name}")
    return servers


def _author(author: Any) -> dict[str, dict[str, str]]:
    if author is None:
        return {}
    if not isinstance(author, dict):
        raise BadRequest("author must be an object {name, email}.", field="author")
    for field in ("name", "email"):
        value = author.get(field)
        if not isinstance(value, str) or not 1 <= len(value) <= 255 or not value.isprintable():
            raise BadRequest(
                f"author.{field} must be a text of 1 to 255 printable characters.", field=f"author.{field}"
            )
    return {"author": {"name": author["name"], "email": author["email"]}}


class PendingStore:
    """Queries that wait for their run, one file of mode 0600 each in a directory of mode 0700 on a tmpfs."""

    def __init__(self, directory: Path, seed_path: Path, user: AgentUser = SAME) -> None:
        """`user`: whose the seed's path is. Raises PermissionError when the directory is someone else's or open to
        others."""
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        status = directory.lstat()
        if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.geteuid():
            raise PermissionError(f"{directory} must be a directory of this user's own")
        directory.chmod(0o700)
        self._directory = directory
        self._user = user
        self.seed_path = seed_path

    def put(self, run: str, query: dict[str, Any]) -> bool:
        """Keep the run's query; False, and nothing changes, when there is one. Raises OSError when there is no room."""
        path = self._path(run)
        draft = path.with_suffix(".new")
        draft.unlink(missing_ok=True)
        descriptor = os.open(
            draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600
        )
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(json.dumps(query).encode())
            os.link(draft, path)
        except FileExistsError:
            return False
        finally:
            draft.unlink()
        return True

    def has(self, run: str) -> bool:
        """Whether a query waits for the run."""
        return self._path(run).exists()

    def is_empty(self) -> bool:
        """Whether no query waits."""
        return not any(self._directory.glob("*.json"))

    def take(self, run: str) -> dict[str, Any] | None:
        """The run's query, its file deleted; None when there is none."""
        path = self._path(run)
        try:
            data = path.read_bytes()
        except FileNotFoundError:
            return None
        path.unlink()
        query: dict[str, Any] = json.loads(data)
        return query

    def drop(self, run: str) -> None:
        """Forget the run's query."""
        self._path(run).unlink(missing_ok=True)

    def clear(self) -> None:
        """Forget every query."""
        for path in self._directory.iterdir():
            if path.suffix in {".json", ".new"} and not path.is_dir():
                path.unlink()

    def take_seed(self) -> bytes | None:
        """What was left at the seed's path, a JSON object, its file deleted; None while there is no file.

        Raises BadRequest, and leaves the file alone, when it is no JSON object (yet) or not this user's alone;
        PayloadTooLarge.
        """
        with self._user.acting():
            return self._take_seed()

    def _take_seed(self) -> bytes | None:
        try:
            descriptor = os.open(self.seed_path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise BadRequest(f"{self.seed_path} cannot be read: {error.strerror}.") from None
        with os.fdopen(descriptor, "rb") as file:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode) or status.st_uid != os.geteuid() or status.st_mode & 0o077:
                raise BadRequest(f"{self.seed_path} must be a file of this user's own with mode 0600.")
            data = file.read(MAX_QUERY_BYTES + 1)
        if len(data) > MAX_QUERY_BYTES:
            raise PayloadTooLarge(f"{self.seed_path} may have {MAX_QUERY_BYTES:,} bytes.")
        _json_object(data, f"{self.seed_path}")
        self.seed_path.unlink(missing_ok=True)
        return data

    def _path(self, run: str) -> Path:
        return self._directory / f"{run}.json"
