"""A prompt as a client sends it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from container.protocol import MAX_PROMPT_CHARS
from gateway.errors import BadRequest
from gateway.fields import choice, identifier, text
from gateway.model import Mode, OnBusy

WORKSPACE: Final = "/workspace"
"""Where an agent works, and the default `cwd`."""

MAX_CWD_CHARS: Final = 4096
"""Longest path (Linux's PATH_MAX)."""

_PREFIX: Final = re.compile(r"\s*\[(?:command|agent):/[^\]\n]+\]\s*")


@dataclass(frozen=True, slots=True, kw_only=True)
class PromptRequest:
    """A prompt as a client sent it. `message_id`: the client's name for it, which makes sending it again harmless."""

    prompt: str
    cwd: str = WORKSPACE
    mode: Mode = Mode.AGENT
    on_busy: OnBusy = OnBusy.QUEUE
    message_id: str | None = None


def parse_prompt(fields: Mapping[str, Any]) -> PromptRequest:
    """The prompt in a WebSocket's query, a `start` frame or a body; fields that are not known are ignored.

    Raises `BadRequest` naming the field.
    """
    return PromptRequest(
        prompt=text(fields, "prompt", limit=MAX_PROMPT_CHARS, required=True),
        cwd=_cwd(fields),
        mode=choice(fields, "mode", Mode.AGENT),
        on_busy=choice(fields, "onBusy", OnBusy.QUEUE),
        message_id=identifier(fields, "messageId") or None,
    )


def strip_prefix(prompt: str) -> str:
    """`prompt` without a leading `[command:/name]` or `[agent:/name]`: it tells the page how to show the prompt.

    A prompt that is nothing else stays as it is.
    """
    found = _PREFIX.match(prompt)
    return (prompt[found.end() :] or prompt) if found else prompt


def _cwd(fields: Mapping[str, Any]) -> str:
    value = text(fields, "cwd", limit=MAX_CWD_CHARS) or WORKSPACE
    parts = value.split("/")
    if parts[:2] != ["", WORKSPACE[1:]] or ".." in parts or "\0" in value:
        raise BadRequest(f"cwd must be {WORKSPACE} or a folder under it, without `..`", field="cwd")
    return value
