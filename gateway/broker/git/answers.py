"""What git is told: a host's own answer, else a sentence with a remedy. It reads answers, and asks nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from aiohttp import hdrs, web

from gateway import errors
from gateway.broker.git.pkt_lines import refusal

if TYPE_CHECKING:
    import aiohttp

    from gateway.broker.git.asked import Asked
    from gateway.broker.git.grants import Grant
    from gateway.broker.git.pushed import Pushed

REFS: Final = 64 * 1024 * 1024
"""A list of refs that is read whole, to be changed."""


def check(upstream: aiohttp.ClientResponse, asked: Asked, grant: Grant) -> None:
    """Only a git host's own answer is handed on; else a sentence. Raises `errors.VaporForgeError`."""
    where = f"{asked.host}/{asked.repository}"
    status = upstream.status
    if status in {401, 403}:
        raise errors.Forbidden(
            f"{asked.host} does not let your token do this at {asked.repository}: put one that may into Settings, "
            "under Git."
            if grant.token
            else f"{where} is not public, or is not there: put a token for {asked.host} into Settings, under Git.",
            field="token",
        )
    if status in {404, 410}:
        raise errors.NotFound(
            f"{where} is not there, or your token for {asked.host} may not see it."
            if grant.token
            else f"{where} is not there, or not public: put a token for {asked.host} into Settings, under Git."
        )
    if 300 <= status < 400:
        raise errors.NotFound(f"{where} has moved: ask for it at its new address.")
    if status == 429:
        raise errors.TooMany(
            f"{asked.host} says that it is asked too much; wait, then try again.", retry_after=60
        )
    kind = "advertisement" if asked.lists else "result"
    if status != 200 or upstream.content_type != f"application/x-{asked.service}-{kind}":
        raise errors.Unavailable(
            f"{where} does not answer as a git host does (status {status}); try again later."
        )
    if upstream.headers.get(hdrs.CONTENT_ENCODING, "identity").lower() != "identity":
        raise errors.Unavailable(f"{asked.host} packs its answer, which was to come as it is.")


def told(error: errors.VaporForgeError) -> web.Response:
    """For git, which shows a plain text to whoever waits; 401 it would ask for a password upon."""
    status = 403 if error.status == 401 else error.status
    headers = {hdrs.RETRY_AFTER: str(error.retry_after)} if isinstance(error, errors.TooMany) else None
    return web.Response(status=status, text=f"VaporForge: {error.message}\n", headers=headers)


def refused(pushed: Pushed) -> web.Response:
    return web.Response(
        body=refusal(pushed.push, pushed.refused),
        headers={
            hdrs.CONTENT_TYPE: "application/x-git-receive-pack-result",
            hdrs.CACHE_CONTROL: "no-cache",
        },
    )


async def whole(upstream: aiohttp.ClientResponse) -> bytes:
    chunks, size = [], 0
    async for chunk in upstream.content.iter_any():
        size += len(chunk)
        if size > REFS:
            raise errors.Unavailable("The host's list of refs is too long to be handed on.")
        chunks.append(chunk)
    return b"".join(chunks)
