"""The broker: sandboxes reach the model's API through it; the real credential is put in here, never in there."""

from __future__ import annotations

import asyncio
import logging
import re
from collections import Counter
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

import aiohttp
from aiohttp import hdrs, web
from multidict import CIMultiDict
from yarl import URL

from container.listener.refusals import Refusal, encoding_of
from gateway import errors
from gateway.broker.api_errors import api_error, error_event
from gateway.broker.bodies import Bodies, Body
from gateway.broker.git.asked import PREFIX
from gateway.broker.git.route import GitRoute
from gateway.broker.headers import authorize, key_of, returned
from gateway.broker.known_credentials import KnownCredentials
from gateway.broker.metering.asked import Asked, asked_of
from gateway.broker.metering.meter import Meter
from gateway.broker.redact import Redactor
from gateway.broker.request_policy import RequestPolicy
from gateway.broker.start_token import Look, starts_of
from gateway.broker.way import way_to_model
from gateway.quotas.service import ModelCall, Quotas

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from gateway.audit.ledger import Audit
    from gateway.broker.metering.meter import Tell
    from gateway.broker.metering.metered_call import MeteredCall
    from gateway.config import Settings
    from gateway.store import Store

log = logging.getLogger(__name__)

MESSAGES: Final = "/v1/messages"
"""What costs money."""

OPEN_PATHS: Final = (
    (hdrs.METH_POST, re.compile(MESSAGES)),
    (hdrs.METH_POST, re.compile(r"/v1/messages/count_tokens")),
    (hdrs.METH_GET, re.compile(r"/v1/models(/[A-Za-z0-9][A-Za-z0-9._@:-]*)?")),
)
"""All that a sandbox may ask for; nothing of the API that manages keys, files or batches. Matched undecoded."""

TIMEOUT: Final = aiohttp.ClientTimeout(total=None, sock_connect=10, sock_read=600)
"""The API lets no request run for more than 10 minutes; a stream sends `ping` events far more often."""

_NOT_INVENTED: Final = (hdrs.ACCEPT, hdrs.ACCEPT_ENCODING, hdrs.USER_AGENT, hdrs.CONTENT_TYPE)


def build_broker(
    settings: Settings,
    store: Store,
    client: aiohttp.ClientSession,
    turned_away: Counter[str] | None = None,
    audit: Audit | None = None,
    tell: Tell | None = None,
    *,
    look: Look,
) -> web.Application:
    """The broker's application, to be served on the sandboxes' network only, with `handler_cancellation`, so that a
    stopped agent's request is given up at once, and without `auto_decompress`. Of `client` only the connections are
    used, which it keeps. `turned_away` counts what is refused for a limit's sake; `audit` records refusals and cuts;
    `tell` shows a run what becomes of its budgets; `look` tells which start of a session's sandbox runs."""
    counter: Counter[str] = Counter() if turned_away is None else turned_away
    broker = _Broker(settings, store, client, counter, Meter(settings, store, tell), audit, look)
    app = web.Application()
    app.cleanup_ctx.append(broker.session)
    app.router.add_route("*", PREFIX + "{path:.*}", broker.git.handle)
    app.router.add_route("*", "/{path:.*}", broker.handle)
    return app


class _Broker:
    """Authenticates a sandbox, swaps its token for the credential of its session's owner, and copies bytes."""

    def __init__(
        self,
        settings: Settings,
        store: Store,
        client: aiohttp.ClientSession,
        turned_away: Counter[str],
        meter: Meter,
        audit: Audit | None,
        look: Look,
    ) -> None:
        self._audit = audit
        self._meter = meter
        self._turned_away = turned_away
        self._calls: Counter[str] = Counter()
        self._settings = settings
        self._store = store
        self._shared = client
        self._starts = starts_of(settings, look)
        self._quotas = Quotas(settings, store)
        self._policy = RequestPolicy.of(settings)
        self._bodies = Bodies(settings)
        self._credentials = KnownCredentials(settings, store)
        self.git = GitRoute(settings, store, self._starts, self._quotas, self._slot, audit)

    async def session(self, _: web.Application) -> AsyncIterator[None]:
        """`cleanup_ctx`: a client that keeps bodies as they are, and no cookies, which would be everybody's. At its end
        the last calls' bytes are counted."""
        self._client = aiohttp.ClientSession(
            connector=self._shared.connector,
            connector_owner=False,
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            **way_to_model(self._settings),
            timeout=TIMEOUT,
        )
        git = self.git.opened(self._shared)
        looking = asyncio.create_task(self._starts.look_forever(), name="starts")
        yield
        looking.cancel()
        await asyncio.wait([looking])
        await self._quotas.close()
        await self._meter.close()
        await self._client.close()
        await git.close()

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Any request of a sandbox; errors of ours look like the API's own."""
        session = ""
        try:
            if encoding_of(request):
                self._turned_away[Refusal.ENCODED] += 1
                raise errors.UnsupportedEncoding(
                    "Bodies are taken as they are: send it without Content-Encoding."
                )
            session = await self._starts.session_of(key_of(request.headers))
            path = request.rel_url.raw_path
            if not any(
                request.method == method and pattern.fullmatch(path) for method, pattern in OPEN_PATHS
            ):
                raise errors.NotFound(f"A sandbox may not ask the model's API for {request.method} {path}.")
            self._policy.query(request.method, request.rel_url.raw_query_string)
            headers = self._policy.forwarded(request.headers)
            # These first: a sandbox that is refused here uses nothing up of its owner's.
            with self._slot(session), self._bodies.of(request, session) as body:
                asked = await self._take(request, body)
                credential, owner = await self._credentials.get(session)
                call = await self._quotas.model_call(owner)
                try:
                    if path != MESSAGES:
                        return await self._forward(request, session, credential, call, headers, body)
                    known = await self._store.get_session(session)
                    metered = await self._meter.begin(known, asked.models, len(body), whole=asked.whole)
                    try:
                        return await self._forward(request, session, credential, call, headers, body, metered)
                    finally:
                        metered.end()
                        if metered.refusal is not None:
                            self._refused(request, session, metered.refusal)
                finally:
                    call.end()
        except errors.TooMany as error:
            self._refused(request, session, error)
            return api_error(error.status, error.message, {hdrs.RETRY_AFTER: str(error.retry_after)})
        except errors.VaporForgeError as error:
            self._refused(request, session, error)
            if error.status == errors.Forbidden.status and error.field:
                log.info("a sandbox's request is not let through: %s", error.message)
            return api_error(error.status, error.message)

    def _refused(self, request: web.Request, session: str, error: errors.VaporForgeError) -> None:
        if self._audit is not None and error.status in {401, 402, 403, 429}:
            address = request.remote or ""
            self._audit.record(
                "refused", session=session, address=address, outcome=error.code, route="broker"
            )

    async def _take(self, request: web.Request, body: Body) -> Asked:
        """The body whole, and judged: until then nothing is asked of the API, nor opened to it. What it asks for."""
        found: list[Asked] = []
        if request.method == hdrs.METH_POST:
            await body.take(lambda raw: self._policy.body(raw, lambda asked: found.append(asked_of(asked))))
        elif request.can_read_body:
            raise errors.BadRequest(f"{request.method} takes no body here.")
        return found[0] if found else Asked()

    @contextmanager
    def _slot(self, session: str) -> Iterator[None]:
        """One of the calls that a sandbox may have open. Raises `TooMany`."""
        if self._calls[session] >= self._settings.sandbox_calls:
            self._turned_away[Refusal.SANDBOX] += 1
            raise errors.TooMany(
                f"This sandbox has {self._calls[session]} calls open; wait until one has ended.",
                retry_after=1,
            )
        self._calls[session] += 1
        try:
            yield
        finally:
            self._calls[session] -= 1
            if not self._calls[session]:
                del self._calls[session]

    async def _forward(
        self,
        request: web.Request,
        session: str,
        credential: str,
        call: ModelCall,
        headers: CIMultiDict[str],
        body: Body,
        metered: MeteredCall | None = None,
    ) -> web.StreamResponse:
        """Ask the API with `headers`, which are judged, and `body`, which is taken, and hand on its answer, as far as
        the budgets of `metered` reach."""
        authorize(headers, credential)
        if len(body):
            headers[hdrs.CONTENT_TYPE] = "application/json"
            headers[hdrs.CONTENT_LENGTH] = str(len(body))
        redactor = Redactor(credential)
        response: web.StreamResponse | None = None
        try:
            async with self._client.request(
                request.method,
                URL(self._settings.model_api_url.rstrip("/") + request.rel_url.raw_path_qs, encoded=True),
                headers=headers,
                skip_auto_headers=_NOT_INVENTED,
                data=call.counted(body.pieces()) if len(body) else None,
                allow_redirects=False,
            ) as upstream:
                if upstream.headers.get(hdrs.CONTENT_ENCODING, "identity").lower() != "identity":
                    return api_error(502, "The model's API packs its answer, which was to come as it is.")
                response = web.StreamResponse(
                    status=upstream.status,
                    reason=redactor.text(upstream.reason or ""),
                    headers=returned(upstream.headers, redactor),
                )
                if metered is not None:
                    metered.answered(upstream.status, upstream.headers.get(hdrs.CONTENT_TYPE, ""))
                await response.prepare(request)
                async for part in paid_for(upstream, call, metered):
                    if passing := redactor.feed(part):
                        await response.write(passing)
                if passing := redactor.rest():
                    await response.write(passing)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            if request.transport is None or request.transport.is_closing():
                raise  # It is the sandbox that has gone.
            log.warning("session %s: the model's API failed: %s", session, type(error).__name__)
            if metered is not None and response is None:
                metered.failed()
            if response is None:
                return api_error(
                    502, f"The model's API cannot be reached ({type(error).__name__}); try again."
                )
            request.transport.abort()  # An orderly end would make half an answer look whole.
            return response
        finally:
            if redactor.found:
                log.error("session %s: the model's API answered with its own credential; struck", session)
        await response.write_eof()
        return response


async def paid_for(
    upstream: aiohttp.ClientResponse, call: ModelCall, metered: MeteredCall | None
) -> AsyncIterator[bytes]:
    """The answer as it comes, counted, until a budget is used up: then with an `error` event for its end."""
    async for chunk in upstream.content.iter_any():
        call.passed(chunk)
        if metered is None:
            yield chunk
            continue
        part, refusal = metered.passed(chunk)
        yield part
        if refusal is not None:
            yield error_event(refusal)
            return
