"""Which token a sandbox takes: one that runs keeps the token that it was started with, also while the secret behind it
is rotated."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Final

from container.protocol import sandbox_token
from gateway.sandboxes.drivers.ready import ping

if TYPE_CHECKING:
    import aiohttp

    from gateway.sandboxes.drivers import Sandbox

REMEMBERED: Final = 10_000
"""Sandboxes whose token is remembered; one that is forgotten is asked again."""


class SandboxTokens:
    """Tokens derived from `secret`, or from `accepted` where a sandbox takes only that one: while there are two, each
    sandbox is asked once. Without `accepted` nothing is asked."""

    def __init__(self, client: aiohttp.ClientSession, secret: str, accepted: str = "") -> None:
        self._client = client
        self._secret, self._accepted = secret, accepted
        self._found: OrderedDict[tuple[str, str, int, float], str] = OrderedDict()

    async def of(self, sandbox: Sandbox) -> str:
        """The token for requests to this sandbox. One that answers neither gets the current one, which says why."""
        if not self._accepted:
            return self._token(self._secret, sandbox)
        start = (sandbox.session, sandbox.host, sandbox.port, sandbox.started_at)
        secret = self._found.get(start)
        if secret is None:
            secret = await self._ask(sandbox)
            if secret is None:
                return self._token(self._secret, sandbox)
            self._found[start] = secret
            if len(self._found) > REMEMBERED:
                self._found.popitem(last=False)
        return self._token(secret, sandbox)

    async def _ask(self, sandbox: Sandbox) -> str | None:
        for secret in (self._secret, self._accepted):
            if await ping(self._client, sandbox, secret=secret) is not None:
                return secret
        return None

    @staticmethod
    def _token(secret: str, sandbox: Sandbox) -> str:
        return sandbox_token(secret.encode(), sandbox.session)
