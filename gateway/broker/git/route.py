"""`/git/HOST/REPOSITORY/…` at the broker: a sandbox's git reaches its owner's repositories and sees no token."""

from __future__ import annotations

import logging
from base64 import b64encode
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Final

import aiohttp
from aiohttp import hdrs, web
from multidict import CIMultiDict
from yarl import URL

from gateway import errors
from gateway.broker.git.answers import check, refused, told, whole
from gateway.broker.git.asked import Asked, Service, asked_of
from gateway.broker.git.grants import Grant, KnownGrants
from gateway.broker.git.hosts import GitHost, git_hosts_of
from gateway.broker.git.pkt_lines import advertised
from gateway.broker.git.pushed import Pushed, PushRefused
from gateway.broker.headers import key_of
from gateway.broker.redact import Redactor
from gateway.broker.way import proxy_for

if TYPE_CHECKING:
    from gateway.audit.ledger import Audit
    from gateway.broker.start_token import Starts
    from gateway.config import Settings
    from gateway.quotas.service import Quotas, Traffic
    from gateway.store import Store

log = logging.getLogger(__name__)

MB: Final = 1024 * 1024

NEGOTIATION: Final = 16 * MB
"""What a fetch may say it has and wants."""

TIMEOUT: Final = aiohttp.ClientTimeout(total=None, sock_connect=10, sock_read=600)
"""A host counts the objects of a large repository before it says anything."""

_PASSED_ON: Final = frozenset({"accept", "accept-language", "content-type", "user-agent"})
_GZIP: Final = frozenset({"gzip", "x-gzip", "identity"})


class GitRoute:
    """Authenticates a sandbox as the model's route does, and copies bytes in both directions as they come."""

    def __init__(
        self,
        settings: Settings,
        store: Store,
        starts: Starts,
        quotas: Quotas,
        slot: Callable[[str], AbstractContextManager[None]],
        audit: Audit | None,
    ) -> None:
        """`slot`: one of the calls that a sandbox may have open. Raises `ConfigError` for a git host that is none."""
        self._settings = settings
        self._hosts = git_hosts_of(settings)
        self._grants = KnownGrants(store)
        self._starts = starts
        self._quotas = quotas
        self._slot = slot
        self._audit = audit
        self._client: aiohttp.ClientSession

    def opened(self, shared: aiohttp.ClientSession) -> aiohttp.ClientSession:
        """The client that hosts are asked with, on `shared`'s connections; to be closed by who asked for it."""
        self._client = aiohttp.ClientSession(
            connector=shared.connector,
            connector_owner=False,
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            trust_env=not self._settings.http_proxy,
            timeout=TIMEOUT,
        )
        return self._client

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Any of git's requests. What git shows of an error is a text with status 4xx where refs are asked for, and the
        answer to a push."""
        session = ""
        try:
            session = await self._starts.session_of(key_of(request.headers))
            asked = asked_of(request.method, request.rel_url.raw_path, request.rel_url.raw_query_string)
            with self._slot(session):
                owner, grants = await self._grants.get(session)
                host, grant = self._allowed(asked, grants)
                traffic = await self._quotas.egress(owner)
                try:
                    return await self._pass(request, session, asked, host, grant, traffic)
                finally:
                    traffic.end()
        except errors.VaporForgeError as error:
            if error.status in {401, 403, 429}:
                self._record(request, "refused", session, error.code, route="git")
            return told(error)

    def _allowed(self, asked: Asked, grants: dict[str, Grant]) -> tuple[GitHost, Grant]:
        """Raises `Forbidden`."""
        host = self._hosts.get(asked.host)
        if host is None or not host.has(asked.repository):
            what = asked.host if host is None else f"{asked.host}/{asked.repository}"
            raise errors.Forbidden(
                f"{what} is not among the git hosts of this deployment (gitHosts); ask whoever runs it.",
                field="host",
            )
        grant = grants.get(asked.host)
        if grant is None:
            raise errors.Forbidden(
                f"{asked.host} is not among your git hosts: add it in VaporForge's Settings, under Git, with a token "
                "where the repository is private.",
                field="host",
            )
        if not grant.has(asked.repository):
            raise errors.Forbidden(
                f"{asked.repository} is not among the repositories that your Settings name for {asked.host}.",
                field="repository",
            )
        return host, grant

    async def _pass(
        self, request: web.Request, session: str, asked: Asked, host: GitHost, grant: Grant, traffic: Traffic
    ) -> web.StreamResponse:
        if asked.service is Service.FETCH or asked.lists:
            data = None if asked.lists else _bounded(request, NEGOTIATION)
            return await self._forward(request, session, asked, host, grant, traffic, data)
        if request.headers.get(hdrs.CONTENT_ENCODING, "identity").lower() != "identity":
            raise errors.UnsupportedEncoding("A push is taken as it is: send it without Content-Encoding.")
        pushed = await Pushed.begun(
            aiter(request.content.iter_any()),
            most=self._settings.git_push_mb * MB,
            may_rewrite=self._settings.git_force_push,
        )
        outcome = "refused"
        try:
            if pushed.refused:
                raise PushRefused
            answer = await self._forward(request, session, asked, host, grant, traffic, pushed.pieces())
            outcome = "sent"
        except PushRefused:
            await pushed.rest_read()
            answer = refused(pushed)
        finally:
            if pushed.push.commands:  # without any git asks whether it may push
                self._record(
                    request, "git-push", session, outcome, repository=f"{asked.host}/{asked.repository}"
                )
        return answer

    async def _forward(
        self,
        request: web.Request,
        session: str,
        asked: Asked,
        host: GitHost,
        grant: Grant,
        traffic: Traffic,
        data: AsyncIterator[bytes] | None,
    ) -> web.StreamResponse:
        url = URL(f"{host.url}/{asked.repository}{asked.rest}", encoded=True)
        redactor = Redactor(grant.token) if grant.token else None
        response: web.StreamResponse | None = None
        failure: list[BaseException] = []
        try:
            async with self._client.request(
                request.method,
                url,
                headers=_sent(request, asked, grant),
                data=None if data is None else _watched(_counted(data, traffic), failure),
                allow_redirects=False,
                proxy=proxy_for(self._settings, url),
            ) as upstream:
                check(upstream, asked, grant)
                response = web.StreamResponse(
                    status=upstream.status,
                    headers={
                        hdrs.CONTENT_TYPE: upstream.headers.get(hdrs.CONTENT_TYPE, ""),
                        hdrs.CACHE_CONTROL: "no-cache",
                    },
                )
                if asked.lists and asked.service is Service.PUSH:
                    # A pack that is whole by itself, and no signed push, whose commands would be in another place.
                    refs = advertised(await whole(upstream), add="no-thin", without=("push-cert",))
                    await response.prepare(request)
                    await response.write(refs)
                else:
                    await response.prepare(request)
                    passed = 0
                    async for chunk in upstream.content.iter_any():
                        passed += len(chunk)
                        if passed > self._settings.git_fetch_mb * MB:
                            raise errors.PayloadTooLarge("The answer is longer than git_fetch_mb lets it be.")
                        await traffic.passed(len(chunk))
                        if part := chunk if redactor is None else redactor.feed(chunk):
                            await response.write(part)
                    if redactor is not None and (part := redactor.rest()):
                        await response.write(part)
        except (aiohttp.ClientError, TimeoutError, OSError, errors.VaporForgeError) as error:
            if failure:
                raise failure[0] from None
            return self._broken(request, session, asked, error, response)
        await response.write_eof()
        return response

    def _broken(
        self,
        request: web.Request,
        session: str,
        asked: Asked,
        error: BaseException,
        response: web.StreamResponse | None,
    ) -> web.StreamResponse:
        """What becomes of an answer that does not come whole. Raises what is told to git."""
        if request.transport is None or request.transport.is_closing():
            raise error  # It is the sandbox that has gone.
        if response is None or not response.prepared:
            if isinstance(error, errors.VaporForgeError):
                raise error
            log.warning("session %s: the git host %s failed: %s", session, asked.host, type(error).__name__)
            raise errors.Unavailable(
                f"{asked.host} cannot be reached ({type(error).__name__}); try again."
            ) from error
        log.warning("session %s: an answer of the git host %s is cut off: %s", session, asked.host, error)
        request.transport.abort()  # An orderly end would make half an answer look whole.
        return response

    def _record(self, request: web.Request, kind: str, session: str, outcome: str, **details: str) -> None:
        if self._audit is not None:
            self._audit.record(
                kind, session=session, address=request.remote or "", outcome=outcome, **details
            )


def _sent(request: web.Request, asked: Asked, grant: Grant) -> CIMultiDict[str]:
    """The headers that go to the host."""
    headers = CIMultiDict(
        (name, value) for name, value in request.headers.items() if name.lower() in _PASSED_ON
    )
    headers[hdrs.ACCEPT_ENCODING] = "identity"
    if asked.service is Service.FETCH:
        if protocol := request.headers.get("Git-Protocol"):
            headers["Git-Protocol"] = protocol
        # Git packs what it says to a host; it goes on as it is, and is opened by nobody here.
        encoding = request.headers.get(hdrs.CONTENT_ENCODING, "identity").lower()
        if encoding not in _GZIP:
            raise errors.UnsupportedEncoding("git sends gzip or nothing; this is neither.")
        if encoding != "identity":
            headers[hdrs.CONTENT_ENCODING] = encoding
    if grant.token:
        plain = f"{grant.user or 'x-access-token'}:{grant.token}"
        headers[hdrs.AUTHORIZATION] = f"Basic {b64encode(plain.encode()).decode()}"
    return headers


async def _bounded(request: web.Request, most: int) -> AsyncIterator[bytes]:
    came = 0
    async for piece in request.content.iter_any():
        came += len(piece)
        if came > most:
            raise errors.PayloadTooLarge(f"What a fetch says may have at most {most // MB} MiB.")
        yield piece


async def _counted(data: AsyncIterator[bytes], traffic: Traffic) -> AsyncIterator[bytes]:
    async for piece in data:
        await traffic.passed(len(piece))
        yield piece


async def _watched(data: AsyncIterator[bytes], failure: list[BaseException]) -> AsyncIterator[bytes]:
    """The client makes an error of its own of what a body raises: what it was is kept."""
    try:
        async for piece in data:
            yield piece
    except (errors.VaporForgeError, PushRefused) as error:
        failure.append(error)
        raise
