"""The claim by which a session takes a sandbox of the pool over: made by gateways, opened by agent servers.

Pure functions of the contract, as in protocol.py; docs/protocol.md section 4 says the same in prose.
"""

from __future__ import annotations

import hashlib
import hmac

from container.protocol import RUN_ID


def make_claim(start_token: str, session: str, token: str, nonce: str, lost_reason: str = "") -> str:
    """The claim by which a session takes a sandbox of the pool over: made with the token that this was started with,
    and the session's own `token` sealed in it. Whoever else gets it, as the sandbox's address may have passed on,
    learns neither. `nonce`: 32 random hexadecimal digits, new for each claim. `lost_reason`: why the session's sandbox
    before it ended, if it did by itself."""
    sealed = _sealed(start_token, nonce, token.encode()).hex()
    text = f"vfc1.{session}.{nonce}.{sealed}.{lost_reason}"
    return f"{text}.{_mac(start_token, text)}"


def open_claim(start_token: str, claim: str) -> tuple[str, str, str] | None:
    """The session, its token and the lost reason; None when the claim was not made with this start token."""
    text, _, mac = claim.rpartition(".")
    parts = text.split(".") if claim.isascii() else []
    if len(parts) != 5 or parts[0] != "vfc1" or not RUN_ID.fullmatch(parts[1]):
        return None
    if not hmac.compare_digest(_mac(start_token, text).encode(), mac.encode()):
        return None
    return parts[1], _sealed(start_token, parts[2], bytes.fromhex(parts[3])).decode(), parts[4]


def claim_proof(start_token: str, claim: str) -> str:
    """What a sandbox answers to a claim that it took: only the one with the start token can."""
    return _mac(start_token, f"taken:{claim}")


def _mac(start_token: str, text: str) -> str:
    return hmac.new(start_token.encode(), b"vf-claim:" + text.encode(), hashlib.sha256).hexdigest()


def _sealed(start_token: str, nonce: str, token: bytes) -> bytes:
    """The token under a key stream that no other nonce gives; the same again opens it."""
    key = hmac.digest(start_token.encode(), b"vf-claim-key:" + nonce.encode(), "sha256")
    stream = hashlib.shake_256(key).digest(len(token))
    return bytes(one ^ other for one, other in zip(token, stream, strict=True))
