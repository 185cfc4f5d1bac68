"""Whose sandbox this is: a session's from its start, or a member of the pool until a session claims it, once."""

from __future__ import annotations

import secrets

from container.claim import claim_proof, open_claim
from container.errors import Conflict, NotFound, Unauthorized
from container.protocol import POOL_PREFIX, broker_token


class Occupant:
    """`session`, `token`: whose the sandbox is, and what opens it; `lost_reason`: why the one before it ended.
    The token that it was started with dies with the claim: from then on it opens nothing, and can but repeat that."""

    def __init__(self, session: str, token: str, lost_reason: str, start: str = "") -> None:
        """`start`: what the driver calls this start of the sandbox, if it does."""
        self._start = start
        self.session = session
        self.lost_reason = lost_reason
        self.token = token
        self.waits = session.startswith(POOL_PREFIX)
        """Whether it is nobody's yet."""
        self._start_token = token if self.waits else ""
        self.relay_token = f"vfr1.{secrets.token_urlsafe(32)}"
        """Opens the relay to what the agent starts, and nothing else; dead with this agent server."""

    def claim(self, claim: str) -> str:
        """Become the session's that `claim` names, and return the proof for whoever sent it. The same session again is
        success. Raises NotFound for a sandbox that was a session's from its start, Unauthorized for a claim that its
        start token did not make, Conflict when it is another session's."""
        if not self._start_token:
            raise NotFound("This sandbox is of no pool.")
        opened = open_claim(self._start_token, claim)
        if opened is None:
            raise Unauthorized("A claim made with this sandbox's start token is needed.")
        session, token, lost_reason = opened
        if self.waits:
            self.session, self.token, self.waits = session, token, False
            self.lost_reason = lost_reason or self.lost_reason
        elif (session, token) != (self.session, self.token):
            raise Conflict("Another session has claimed this sandbox.")
        return claim_proof(self._start_token, claim)

    def environment(self) -> dict[str, str]:
        """What an agent is told besides what the agent server was: whose it is, its way to the relay, and its key at
        the broker, of this start alone where the driver names it. What opens the sandbox is not among it."""
        key = broker_token(self.token, self.session, self._start) if self._start else self.token
        return {
            "VF_SESSION": self.session,
            "VF_RELAY_TOKEN": self.relay_token,
            "ANTHROPIC_API_KEY": key,
        }
