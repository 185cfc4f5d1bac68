"""Tokens, tickets and origins: what lets in, what does not, and that no answer repeats a token."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import jwt
import pytest
from aiohttp.test_utils import make_mocked_request

from gateway.errors import OriginRefused, Unauthorized
from gateway.web.request.auth import MAX_SUBJECT_CHARS, Authenticator, Caller, mint
from gateway.web.request.author import author_of
from tests.gateway.stack import SECRET, settings_for

if TYPE_CHECKING:
    from gateway.store.dynamo import DynamoStore

OTHER_SECRET = "o" * 48
ISSUER = "https://issuer.example"
ADA = Caller("ada", author_of({"sub": "ada"}), 4_000_000_000.0)


def claims(**changes: Any) -> dict[str, Any]:
    base: dict[str, Any] = {"sub": "ada", "aud": "vaporforge", "exp": int(time.time()) + 24 * 3600, **changes}
    return {name: value for name, value in base.items() if value is not None}


def signed(secret: str = SECRET, algorithm: str = "HS256", **changes: Any) -> str:
    return jwt.encode(claims(**changes), secret, algorithm=algorithm)


BAD_TOKENS = {
    "garbage": ("garbage", "malformed"),
    "empty parts": ("..", "malformed"),
    "not ascii": ("é.é.é", "malformed"),
    "expired": (signed(exp=int(time.time()) - 3600), "has expired"),
    "not yet": (signed(nbf=int(time.time()) + 3600), "not valid yet"),
    "made in the future": (signed(iat=int(time.time()) + 3600), "not valid yet"),
    "no exp": (signed(exp=None), "has no exp"),
    "no sub": (signed(sub=None), "has no sub"),
    "no aud": (signed(aud=None), "audience|has no aud"),
    "other audience": (signed(aud="elsewhere"), "another audience"),
    "other secret": (signed(OTHER_SECRET), "signature"),
    "other algorithm": (jwt.encode(claims(), SECRET * 2, algorithm="HS512"), "not signed with HS256"),
    "no algorithm": (jwt.encode(claims(), "", algorithm="none"), "not signed with HS256"),
    "sub is no string": (jwt.encode(claims(sub=7), SECRET), "sub must be a string|malformed"),
    "sub is empty": (signed(sub=""), "sub must be"),
    "sub is too long": (signed(sub="x" * (MAX_SUBJECT_CHARS + 1)), "sub must be"),
    "sub has a line end": (signed(sub="ada\nbob"), "sub must be"),
    "signature cut off": (signed().rpartition(".")[0] + ".", "signature|malformed"),
    "payload swapped": (
        ".".join([signed(sub="eve").split(".")[0], signed(sub="eve").split(".")[1], signed().split(".")[2]]),
        "signature",
    ),
    "huge": ("x" * 9000, "longer than"),
}
"""Name → (token, what the answer says)."""


@pytest.fixture
def auth(store: DynamoStore) -> Authenticator:
    return Authenticator(settings_for("", "none", allowed_origins=("https://friend.example",)), store)


class TestTokens:
    async def test_a_minted_token_lets_its_subject_in(self, auth: Authenticator) -> None:
        assert auth.verify(mint("ada", 60, secret=SECRET)).user == "ada"

    @pytest.mark.parametrize(
        "off", [{"iat": 10}, {"nbf": 10}, {"iat": 25, "nbf": 25}, {"exp": -1}, {"exp": -25}]
    )
    async def test_clocks_may_differ_by_the_leeway(self, auth: Authenticator, off: dict[str, Any]) -> None:
        now = int(time.time())
        assert auth.verify(signed(**{name: now + by for name, by in off.items()})).user == "ada"

    async def test_the_leeway_is_a_setting(self, store: DynamoStore) -> None:
        strict = Authenticator(settings_for("", "none", token_leeway_seconds=0), store)
        with pytest.raises(Unauthorized, match="not valid yet"):
            strict.verify(signed(iat=int(time.time()) + 10))

    @pytest.mark.parametrize(("exp", "until"), [(4_000_000_000, 4_000_000_030), (10**400, 2**53 + 30)])
    async def test_a_token_tells_until_when_it_holds(
        self, auth: Authenticator, exp: int, until: float
    ) -> None:
        assert auth.verify(signed(exp=exp)).until == until

    async def test_one_of_several_audiences_is_enough(self, auth: Authenticator) -> None:
        assert auth.verify(signed(aud=["elsewhere", "vaporforge"])).user == "ada"

    @pytest.mark.parametrize("name", BAD_TOKENS)
    async def test_a_bad_token_is_refused_in_one_sentence_without_it(
        self, auth: Authenticator, name: str
    ) -> None:
        token, said = BAD_TOKENS[name]
        with pytest.raises(Unauthorized, match=said) as caught:
            auth.verify(token)
        assert token not in caught.value.message
        assert caught.value.__cause__ is None

    async def test_the_issuer_counts_once_it_is_set(self, store: DynamoStore) -> None:
        auth = Authenticator(settings_for("", "none", jwt_issuer=ISSUER), store)
        assert auth.verify(mint("ada", 60, secret=SECRET, issuer=ISSUER)).user == "ada"
        for token, said in (
            (signed(), "has no iss|issuer"),
            (signed(iss="https://evil.example"), "another issuer"),
        ):
            with pytest.raises(Unauthorized, match=said):
                auth.verify(token)


class TestHeader:
    async def test_the_scheme_is_read_in_any_case(self, auth: Authenticator) -> None:
        request = make_mocked_request("GET", "/", headers={"Authorization": f"bearer  {signed()} "})
        assert await auth.user(request) == "ada"

    @pytest.mark.parametrize("header", [None, "", "Bearer", "Bearer ", "Basic YWRhOmFkYQ=="], ids=repr)
    async def test_without_a_token_the_answer_says_how(self, auth: Authenticator, header: str | None) -> None:
        headers = {} if header is None else {"Authorization": header}
        with pytest.raises(Unauthorized, match="Authorization: Bearer"):
            await auth.user(make_mocked_request("GET", f"/?token={signed()}", headers=headers))


class TestWebSockets:
    @pytest.mark.parametrize(
        ("query", "headers", "selected"),
        [
            ("?token={token}", {}, None),
            ("", {"Sec-WebSocket-Protocol": "vaporforge, {token}"}, "vaporforge"),
            ("?token={token}", {"Sec-WebSocket-Protocol": "vaporforge"}, "vaporforge"),
            ("", {"Authorization": "Bearer {token}"}, None),
        ],
        ids=["query", "subprotocol", "both", "header"],
    )
    async def test_a_token_may_come_in_several_ways(
        self, auth: Authenticator, query: str, headers: dict[str, str], selected: str | None
    ) -> None:
        token = signed()
        filled = {name: value.format(token=token) for name, value in headers.items()}
        request = make_mocked_request("GET", "/api/sdk/ws" + query.format(token=token), headers=filled)
        caller, chosen = await auth.websocket_caller(request)
        assert (caller.user, chosen) == ("ada", selected)

    async def test_a_bad_token_in_the_query_is_not_made_good_by_another(self, auth: Authenticator) -> None:
        headers = {"Authorization": f"Bearer {signed()}"}
        with pytest.raises(Unauthorized):
            await auth.websocket_caller(make_mocked_request("GET", "/?token=bad", headers=headers))

    async def test_a_token_without_our_subprotocol_is_none(self, auth: Authenticator) -> None:
        headers = {"Sec-WebSocket-Protocol": f"graphql-ws, {signed()}"}
        with pytest.raises(Unauthorized):
            await auth.websocket_caller(make_mocked_request("GET", "/", headers=headers))

    async def test_a_foreign_origin_is_refused_before_its_token_is_looked_at(
        self, auth: Authenticator
    ) -> None:
        headers = {"Origin": "https://evil.example", "Host": "vf.example"}
        with pytest.raises(OriginRefused):
            await auth.websocket_caller(make_mocked_request("GET", f"/?token={signed()}", headers=headers))


class TestTickets:
    async def ask(self, auth: Authenticator, ticket: str, session: str = "") -> str:
        query = f"?ticket={ticket}" + (f"&sessionId={session}" if session else "")
        return (await auth.websocket_caller(make_mocked_request("GET", f"/api/sdk/ws{query}")))[0].user

    async def test_a_ticket_lets_in_once(self, auth: Authenticator) -> None:
        ticket = await auth.issue_ticket(ADA)
        assert await self.ask(auth, ticket, "any") == "ada"
        with pytest.raises(Unauthorized, match="used already"):
            await self.ask(auth, ticket, "any")

    async def test_who_comes_in_with_a_ticket_stays_no_longer_than_the_token(
        self, auth: Authenticator
    ) -> None:
        url = f"/api/sdk/ws?sessionId=s1&ticket={await auth.issue_ticket(ADA)}"
        assert (await auth.websocket_caller(make_mocked_request("GET", url)))[0] == ADA

    async def test_a_ticket_lets_nobody_in_once_its_token_has_ended(self, auth: Authenticator) -> None:
        ticket = await auth.issue_ticket(replace(ADA, until=time.time() + 0.05))
        await asyncio.sleep(0.1)
        with pytest.raises(Unauthorized, match="ticket was given for has expired"):
            await self.ask(auth, ticket)

    async def test_of_many_at_once_one_gets_in(self, auth: Authenticator) -> None:
        ticket = await auth.issue_ticket(ADA, "s1")
        results = await asyncio.gather(
            *(self.ask(auth, ticket, "s1") for _ in range(8)), return_exceptions=True
        )
        assert results.count("ada") == 1
        assert sum(isinstance(result, Unauthorized) for result in results) == 7

    async def test_one_request_may_be_asked_about_twice(self, auth: Authenticator) -> None:
        request = make_mocked_request("GET", f"/?ticket={await auth.issue_ticket(ADA)}")
        first = await auth.websocket_caller(request)
        assert await auth.websocket_caller(request) == first == (ADA, None)

    @pytest.mark.parametrize("session", ["s2", ""])
    async def test_a_session_s_ticket_fits_no_other(self, auth: Authenticator, session: str) -> None:
        ticket = await auth.issue_ticket(ADA, "s1")
        with pytest.raises(Unauthorized, match="another session"):
            await self.ask(auth, ticket, session)

    async def test_a_ticket_runs_out(self, store: DynamoStore) -> None:
        auth = Authenticator(settings_for("", "none", ticket_seconds=-1.0), store)
        with pytest.raises(Unauthorized, match="expired"):
            await self.ask(auth, await auth.issue_ticket(ADA))

    async def test_an_unknown_ticket_and_the_stored_hash_let_nobody_in(
        self, auth: Authenticator, store: DynamoStore
    ) -> None:
        await store.put_ticket("hash", {"sub": "ada", "session": ""}, expires_at=time.time() + 60)
        for ticket in ("hash", "unknown", "x" * 5000):
            with pytest.raises(Unauthorized):
                await self.ask(auth, ticket)


class TestOrigin:
    @pytest.mark.parametrize(
        ("origin", "host"),
        [
            (None, "vf.example"),
            ("https://vf.example", "vf.example"),
            ("https://VF.example", "vf.example"),
            ("http://localhost:8080", "localhost:8080"),
            ("http://vf.example:80", "vf.example"),
            ("https://vf.example", "vf.example:443"),
            ("http://[::1]:8080", "[::1]:8080"),
            ("https://friend.example", "vf.example"),
        ],
    )
    async def test_own_pages_friends_and_programs_pass(
        self, auth: Authenticator, origin: str | None, host: str
    ) -> None:
        headers = {"Host": host} if origin is None else {"Host": host, "Origin": origin}
        auth.check_origin(make_mocked_request("GET", "/", headers=headers))

    @pytest.mark.parametrize(
        "origin",
        [
            "https://evil.example",
            "http://vf.example:8081",
            "http://vf.example.evil.example",
            "https://friend.example.evil.example",
            "http://friend.example",
            "null",
            "",
            "vf.example",
            "file://",
            "http://vf.example:port",
        ],
    )
    async def test_other_sites_do_not(self, auth: Authenticator, origin: str) -> None:
        request = make_mocked_request("GET", "/", headers={"Host": "vf.example", "Origin": origin})
        with pytest.raises(OriginRefused):
            auth.check_origin(request)

    async def test_a_forwarded_host_is_not_believed(self, auth: Authenticator) -> None:
        headers = {"Host": "vf.example", "Origin": "https://evil.example", "X-Forwarded-Host": "evil.example"}
        with pytest.raises(OriginRefused):
            auth.check_origin(make_mocked_request("GET", "/", headers=headers))
