"""A recorded run without its owner's secrets: what a sandbox should have struck, struck before it is kept.

Frames keep their numbers, so each is looked at by itself: a secret that a sandbox spreads over several of them is
struck in the message that is made of them, and stays in the frames. An agent server of ours leaves none; one that was
replaced speaks to its owner alone, to whom all of its session is known.
"""

from __future__ import annotations

import asyncio
from typing import Any

from container.protocol import MAX_FRAME_BYTES, encode, stamp
from container.redaction.known import secrets_of_servers
from container.redaction.redactor import Redactor
from container.redaction.values import strike_value
from gateway.broker.credentials import credential_of, keys_for, servers_of
from gateway.config import Settings
from gateway.fields import exact
from gateway.runs.recording.seal import runs_on_this_machine
from gateway.store import Store

CREDENTIAL = "model-credential"
"""What a struck model credential is called."""


async def redactor_of(settings: Settings, store: Store, owner: str) -> Redactor | None:
    """What knows the owner's secrets: credential and MCP servers, and the deployment's key; None where nothing is to be
    struck. Raises `StoreUnavailable`."""
    if not settings.redact:
        return None
    kept, credential = await asyncio.gather(store.get_settings(owner), credential_of(store, settings, owner))
    keys = await keys_for(store, kept)
    servers = servers_of(keys, owner, kept, plain=not runs_on_this_machine(settings))
    known = dict(secrets_of_servers(servers))
    known |= {key: CREDENTIAL for key in (credential, settings.model_api_key) if key}
    return Redactor(known)


def struck(redactor: Redactor, line: bytes, frame: dict[str, Any], run: str) -> tuple[bytes, dict[str, Any]]:
    """A frame and its bytes without secrets: the same where there are none, and never more than a frame may have."""
    if strike_value(redactor, frame) is frame:
        return line, frame
    seq = int(frame["seq"])
    whole = {name: value for name, value in exact(frame, line).items() if name not in ("run", "seq")}
    for bare in (False, True):
        fields = strike_value(redactor, whole, bare=bare)
        body = stamp(encode(fields), run, seq)
        if len(body) <= MAX_FRAME_BYTES:
            return body, {**fields, "run": run, "seq": seq}
    # Numbers and escapes may take more bytes than the sandbox wrote them in.
    fields = {"type": frame["type"], "truncated": True, "fullBytes": len(line)}
    return stamp(encode(fields), run, seq), {**fields, "run": run, "seq": seq}
