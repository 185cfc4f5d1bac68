"""`/git/HOST/REPOSITORY/…` at the broker: a sandbox's git reaches its owner's repositories and sees no token."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Final

import aiohttp
from aiohttp import hdrs, web
from yarl import URL

from gateway import errors
from gateway.broker.git.answers import check, refused, told, whole
from gateway.broker.git.asked import Asked, Service, asked_of
from gateway.broker.git.grants import Grant, KnownGrants
from gateway.broker.git.history import comes_from, question
from gateway.broker.git.hosts import GitHost, git_hosts_of
from gateway.broker.git.pkt_lines import advertised
from gateway.broker.git.pushed import Pushed, PushRefused, commits_named_as
from gateway.broker.git.sent import Sent, authorization, bounded, counted, sent_headers
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

TIMEOUT: Final = aiohttp.ClientTimeout(total=None, sock_connect=10, sock_read=600)
"""A host counts the objects of a large repository before it says anything."""

ASK_SECONDS: Final = 60.0
UNPACKED: Final = 1024 * MB
"""For a host's word about its own commits, and what these may have unpacked."""


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
            data = None if asked.lists else bounded(request)
            return await self._forward(request, session, asked, host, grant, traffic, data)
        if request.headers.get(hdrs.CONTENT_ENCODING, "identity").lower() != "identity":
            raise errors.UnsupportedEncoding("A push is taken as it is: send it without Content-Encoding.")
        pushed = await Pushed.begun(
            aiter(request.content.iter_any()),
            lambda old, tips: self._comes_from(asked, host, grant, traffic, old, tips),
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

    async def _comes_from(
        self, asked: Asked, host: GitHost, grant: Grant, traffic: Traffic, old: str, tips: Collection[str]
    ) -> bool:
        """Whether what the host has already comes from `old`, by its own word. False where it does not say."""
        url = URL(f"{host.url}/{asked.repository}/{Service.FETCH}", encoded=True)
        headers = {
            hdrs.CONTENT_TYPE: f"application/x-{Service.FETCH}-request",
            hdrs.ACCEPT_ENCODING: "identity",
            "Git-Protocol": "version=2",
            **authorization(grant),
        }
        try:
            async with (
                asyncio.timeout(ASK_SECONDS),
                self._client.post(
                    url,
                    headers=headers,
                    data=question(old, tips),
                    allow_redirects=False,
                    proxy=proxy_for(self._settings, url),
                ) as upstream,
            ):
                if upstream.status != 200:
                    return False
                commits = commits_named_as(old, UNPACKED)
                answer = counted(upstream.content.iter_any(), traffic)
                return await comes_from(answer, old, tips, commits)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            log.warning("the git host %s does not tell of its commits: %s", asked.host, type(error).__name__)
            return False

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
        deadline = asyncio.timeout(None)
        body = None if data is None else Sent(counted(data, traffic), deadline)
        try:
            async with (
                deadline,
                self._client.request(
                    request.method,
                    url,
                    headers=sent_headers(request, asked, grant),
                    data=None if body is None else body.pieces(),
                    allow_redirects=False,
                    proxy=proxy_for(self._settings, url),
                ) as upstream,
            ):
                check(upstream, asked, grant)
                if body is not None:
                    await body.whole()  # a host may begin its answer before it has everything
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
                    await traffic.passed(len(refs))
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
            if body is not None and body.failure is not None:
                raise body.failure from None
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
