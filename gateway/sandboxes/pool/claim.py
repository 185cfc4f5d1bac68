"""The one call by which a session takes a sandbox of the pool over: no token is in it, and the answer is proven."""

from __future__ import annotations

import hmac
import logging
import secrets
from typing import TYPE_CHECKING, Final

import aiohttp
from aiohttp import hdrs

from container.claim import claim_proof, make_claim
from container.protocol import sandbox_token
from gateway import errors
from gateway.sandboxes.drivers import LOSSES, Sandbox, SandboxState
from gateway.sandboxes.drivers.answers import read_object
from gateway.sandboxes.drivers.ready import PING_BYTES

if TYPE_CHECKING:
    from gateway.store.pool import Member

log = logging.getLogger(__name__)

CLAIM: Final = aiohttp.ClientTimeout(total=5, sock_connect=1)
"""A member that takes longer is started again, which takes about as long."""


async def send_claim(
    client: aiohttp.ClientSession, member: Member, session: str, *, secret: str, lost_reason: str = ""
) -> Sandbox | None:
    """The sandbox as the session's; None when this very member does not take the claim. `lost_reason`: why the one that
    the session had before has ended: whoever asks later is told by this one.

    Its address may be of a while ago: whoever is there now learns no token, and cannot say that it took the claim.
    """
    key = secret.encode()
    start_token = sandbox_token(key, member.id)
    token, nonce = sandbox_token(key, session), secrets.token_hex(16)
    claim = make_claim(start_token, session, token, nonce, lost_reason)
    sandbox = Sandbox(
        session=session,
        state=SandboxState.RUNNING,
        host=member.host,
        port=member.port,
        started_at=member.started_at,
    )
    try:
        async with client.post(
            f"{sandbox.url}/claim",
            headers={hdrs.AUTHORIZATION: f"Claim {claim}"},
            timeout=CLAIM,
            allow_redirects=False,
        ) as response:
            body = await read_object(response, PING_BYTES) if response.status == 200 else {}
    except (aiohttp.ClientError, TimeoutError, OSError, ValueError, errors.SandboxUnavailable) as error:
        log.info("session %s: %s does not answer its claim: %r", session, member.id, error)
        return None
    proof = body.get("proof")
    if not isinstance(proof, str) or not hmac.compare_digest(
        proof.encode(), claim_proof(start_token, claim).encode()
    ):
        log.warning("session %s: %s does not take its claim (status %d)", session, member.id, response.status)
        return None
    lost = body.get("lostReason")
    return Sandbox(
        session=session,
        state=SandboxState.RUNNING,
        host=member.host,
        port=member.port,
        started_at=member.started_at,
        fresh=body.get("fresh") is True,
        lost_before=lost if lost in LOSSES else "",
    )
