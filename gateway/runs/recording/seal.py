"""The seal of an admitted prompt: it tells a run of a gateway's from an item that somebody else put into the table.

Where a sandbox is a process of this machine, whoever writes to the table would run what they like on it. There a run is
driven only when it carries a seal made with a secret that is not in the table, over all that its agent is told by it.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from gateway.errors import BadRequest

if TYPE_CHECKING:
    from gateway.config import Settings
    from gateway.model import NewRun, Run
    from gateway.store import Store

PURPOSE: Final = b"vaporforge: seal of a run"
"""Keeps its key apart from what else is made of the same secret."""


def sealed(settings: Settings, new: NewRun) -> NewRun:
    """`new` with its seal, where runs have one."""
    return (
        replace(new, seal=_seal(settings.sandbox_secret, new, new.prompt))
        if runs_on_this_machine(settings)
        else new
    )


async def admitted_prompt(settings: Settings, store: Store, run: Run, prompt: str | None) -> str | None:
    """What `run` asks, as it was admitted; where runs have no seal, `prompt` as it is given. `prompt` None: it is read
    from the store. Raises `BadRequest` for a run, or a prompt, that no gateway of this deployment admitted."""
    if not runs_on_this_machine(settings):
        return prompt
    if prompt is None:
        message = await store.get_message(run.session, run.message)
        prompt = message.content if message is not None else ""
    secrets = (settings.sandbox_secret, settings.sandbox_secret_accepted)
    seals = [_seal(secret, run, prompt) for secret in secrets if secret]
    if not any(hmac.compare_digest(run.seal.encode(), seal.encode()) for seal in seals):
        raise BadRequest(
            "This run is not as a gateway of this deployment admitted it, so it is not started; send the prompt again."
        )
    return prompt


def runs_on_this_machine(settings: Settings) -> bool:
    """Whether what an agent is told to run is run on this machine itself."""
    return settings.driver == "process"


def _seal(secret: str, run: NewRun | Run, prompt: str) -> str:
    key = hmac.digest(secret.encode(), PURPOSE, hashlib.sha256)
    author = None if run.author is None else [run.author.name, run.author.email]
    told = json.dumps([run.session, run.id, run.owner, author, run.message, run.mode, run.cwd, prompt])
    return hmac.new(key, told.encode(), hashlib.sha256).hexdigest()
