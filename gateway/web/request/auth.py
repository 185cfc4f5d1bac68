"""Who asks: tokens (JWT), one-use tickets for WebSocket URLs, and the browser's Origin."""

from __future__ import annotations

import hashlib
import secrets
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

import jwt
from aiohttp import hdrs, web

from gateway.errors import OriginRefused, Unauthorized
from gateway.web.request.author import author_of
from gateway.web.request.expiry import NO_END

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.config import Settings
    from gateway.model import Author
    from gateway.store import Store

SUBPROTOCOL: Final = "vaporforge"
"""The WebSocket subprotocol that carries a token: a client offers `vaporforge, <JWT>`, we select it."""

ALGORITHM: Final = "HS256"
"""The one algorithm that is accepted; a token's own header never chooses it (RFC 8725 section 3.1)."""

MAX_TOKEN_CHARS: Final = 8192
"""Longest token that is looked at."""

MAX_SUBJECT_CHARS: Final = 255
"""Longest `sub` (OpenID Connect Core section 2)."""

_DEFAULT_PORTS: Final = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks, as git names people too, and until when that holds: epoch seconds, by the gateway's clock, the leeway
    included."""

    user: str
    author: Author
    until: float = NO_END


USER: web.RequestKey[str] = web.RequestKey("user")
"""Who asks, once that is known."""

_CALLER: web.RequestKey[tuple[Caller, str | None]] = web.RequestKey("caller")


def mint(sub: str, seconds: float, *, secret: str, audience: str = "vaporforge", issuer: str = "") -> str:
    """A token that lets `sub` in for `seconds` from now. For `scripts/token`, `--dev` and tests."""
    now = int(time.time())
    claims: dict[str, Any] = {"sub": sub, "iat": now, "exp": now + int(seconds), "aud": audience}
    if issuer:
        claims["iss"] = issuer
    return jwt.encode(claims, secret, algorithm=ALGORITHM)


class Authenticator:
    """Tells who sent a request; remembers the answer on the request: a ticket is taken once. `signed_in` is told of
    each good token."""

    def __init__(
        self,
        settings: Settings,
        store: Store,
        signed_in: Callable[[web.Request, str], None] = lambda _request, _token: None,
    ) -> None:
        self._settings = settings
        self._store = store
        self._signed_in = signed_in

    async def caller(self, request: web.Request) -> Caller:
        """Whom `Authorization: Bearer <token>` stands for. Raises `Unauthorized`."""
        if _CALLER not in request:
            request[_CALLER] = (self._by_token(request, _bearer(request)), None)
        return request[_CALLER][0]

    async def user(self, request: web.Request) -> str:
        """The user of `Authorization: Bearer <token>`. Raises `Unauthorized`."""
        return (await self.caller(request)).user

    async def download_caller(self, request: web.Request, session: str) -> Caller:
        """Who asks for a file: by a `ticket=` for `session`, as a browser's downloads have no headers, or by the
        header. Raises `Unauthorized`."""
        if _CALLER not in request:
            if ticket := request.query.get("ticket"):
                request[_CALLER] = (await self._take_ticket(ticket, session), None)
                request[USER] = request[_CALLER][0].user
            else:
                await self.caller(request)
        return request[_CALLER][0]

    async def websocket_caller(self, request: web.Request) -> tuple[Caller, str | None]:
        """(who asks, the subprotocol to select or None) of a WebSocket's upgrade request.

        Looked for in this order: `ticket=`, `token=`, the subprotocols `vaporforge, <token>`, the header. The
        first one that is there decides. Raises `OriginRefused` and `Unauthorized`.
        """
        if _CALLER not in request:
            self.check_origin(request)
            request[_CALLER] = await self._websocket_caller(request)
        return request[_CALLER]

    async def _websocket_caller(self, request: web.Request) -> tuple[Caller, str | None]:
        offered = _offered(request)
        selected = SUBPROTOCOL if SUBPROTOCOL in offered else None
        if ticket := request.query.get("ticket"):
            caller = await self._take_ticket(ticket, request.query.get("sessionId", ""))
            request[USER] = caller.user  # whose token was recorded where the ticket was given
            return caller, selected
        if token := request.query.get("token"):
            return self._by_token(request, token), selected
        tokens = [name for name in offered if name != SUBPROTOCOL]
        if selected and tokens:
            return self._by_token(request, tokens[0]), selected
        return self._by_token(request, _bearer(request)), selected

    def _by_token(self, request: web.Request, token: str) -> Caller:
        caller = self.verify(token)
        request[USER] = caller.user
        self._signed_in(request, token)
        return caller

    def verify(self, token: str) -> Caller:
        """Whose a valid token is. Raises `Unauthorized` with one sentence that never holds the token."""
        if len(token) > MAX_TOKEN_CHARS:
            raise Unauthorized(
                f"The token is longer than {MAX_TOKEN_CHARS} characters; sign in again", guess=True
            )
        if not token.isascii():
            raise Unauthorized("The token is malformed; sign in again", guess=True)
        settings = self._settings
        required = ["exp", "sub", "aud", *(["iss"] if settings.jwt_issuer else [])]
        try:
            try:
                claims = self._decode(token, settings.jwt_secret, required)
            except jwt.InvalidSignatureError:
                if not settings.jwt_secret_accepted:
                    raise
                claims = self._decode(token, settings.jwt_secret_accepted, required)
        except (jwt.DecodeError, jwt.InvalidAlgorithmError) as error:
            raise Unauthorized(_reason(error), guess=True, subject=_claimed(token)) from None
        except RecursionError:
            raise Unauthorized("The token is malformed; sign in again", guess=True) from None
        except jwt.PyJWTError as error:
            raise Unauthorized(_reason(error)) from None
        subject: str = claims["sub"]
        if not 0 < len(subject) <= MAX_SUBJECT_CHARS or not subject.isprintable():
            raise Unauthorized(f"The token's sub must be 1 to {MAX_SUBJECT_CHARS} printable characters")
        until = min(int(claims["exp"]), NO_END) + settings.token_leeway_seconds
        return Caller(subject, author_of(claims), until)

    def _decode(self, token: str, secret: str, required: list[str]) -> dict[str, Any]:
        settings = self._settings
        claims: dict[str, Any] = jwt.decode(
            token,
            secret,
            algorithms=[ALGORITHM],
            audience=settings.jwt_audience,
            issuer=settings.jwt_issuer or None,
            leeway=settings.token_leeway_seconds,
            options={"require": required},
        )
        return claims

    def check_origin(self, request: web.Request) -> None:
        """Refuse another site's page; a client that sends no Origin is no browser and passes. Raises `OriginRefused`.

        Forwarded headers are not believed: a proxy must hand on the Host that the browser asked for.
        """
        origin = request.headers.get(hdrs.ORIGIN)
        if origin is None or origin in self._settings.allowed_origins:
            return
        asked = _authority(origin)
        if asked is None or asked != _authority(f"{urlsplit(origin).scheme}://{request.host}"):
            raise OriginRefused(
                f"Pages of {origin[:200]!r} may not connect here; VF_ALLOWED_ORIGINS names those that may"
            )

    async def issue_ticket(self, caller: Caller, session: str | None = None) -> str:
        """A one-use ticket for `caller`, valid `settings.ticket_seconds`, and for `session` alone when given. It
        lets in, and who came in with it stays, until the caller's own token ends.

        The store keeps its hash only: reading the table lets nobody in.
        """
        ticket = secrets.token_urlsafe(32)
        expires_at = time.time() + self._settings.ticket_seconds
        claims = {
            "sub": caller.user,
            "name": caller.author.name,
            "email": caller.author.email,
            "until": caller.until,
            "session": session or "",
        }
        await self._store.put_ticket(_digest(ticket), claims, expires_at=expires_at)
        return ticket

    async def _take_ticket(self, ticket: str, session: str) -> Caller:
        claims = await self._store.take_ticket(_digest(ticket), now=time.time())
        if claims is None:
            raise Unauthorized(
                "The ticket is unknown, was used already or has expired; ask for a new one", guess=True
            )
        if claims["session"] and claims["session"] != session:
            raise Unauthorized("The ticket was given for another session; ask for one for this session")
        until = float(claims.get("until", NO_END))  # a gateway of an older version says none
        if until <= time.time():
            raise Unauthorized("The token that the ticket was given for has expired; sign in again")
        return Caller(str(claims["sub"]), author_of(claims), until)


def _bearer(request: web.Request) -> str:
    scheme, _, token = request.headers.get(hdrs.AUTHORIZATION, "").partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise Unauthorized("No token: send the header `Authorization: Bearer <token>`")
    return token.strip()


def _claimed(token: str) -> str:
    """The `sub` that a token which is not ours claims; empty when it claims none."""
    try:
        subject = jwt.decode(token, options={"verify_signature": False}).get("sub")
    except (jwt.PyJWTError, RecursionError):
        return ""
    return subject[:MAX_SUBJECT_CHARS] if isinstance(subject, str) else ""


def _offered(request: web.Request) -> list[str]:
    values = request.headers.getall(hdrs.SEC_WEBSOCKET_PROTOCOL, [])
    return [name.strip() for value in values for name in value.split(",") if name.strip()]


def _digest(ticket: str) -> str:
    return hashlib.sha256(ticket.encode("utf-8", "replace")).hexdigest()


def _authority(url: str) -> tuple[str, int] | None:
    try:
        parts = urlsplit(url)
        port = parts.port or _DEFAULT_PORTS[parts.scheme]
    except (ValueError, KeyError):
        return None
    return (parts.hostname, port) if parts.hostname else None


def _reason(error: jwt.PyJWTError) -> str:
    match error:
        case jwt.ExpiredSignatureError():
            return "The token has expired; sign in again"
        case jwt.InvalidAudienceError():
            return "The token is for another audience; sign in here"
        case jwt.InvalidIssuerError():
            return "The token is from another issuer; sign in here"
        case jwt.MissingRequiredClaimError(claim=claim):
            return f"The token has no {claim}; sign in again"
        case jwt.ImmatureSignatureError():
            return "The token is not valid yet; check the clock of the machine that made it"
        case jwt.InvalidAlgorithmError():
            return f"The token is not signed with {ALGORITHM}; sign in again"
        case jwt.InvalidSignatureError():
            return "The token's signature is not ours; sign in again"
        case jwt.exceptions.InvalidSubjectError():
            return "The token's sub must be a string; sign in again"
        case _:
            return "The token is malformed; sign in again"
