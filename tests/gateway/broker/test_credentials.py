"""Credentials at rest: who can open one, what counts when it does not open, and when one is asked for."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from gateway import errors
from gateway.broker.credentials import (
    SERVERS,
    credential_of,
    decrypt,
    encrypt,
    encrypt_servers,
    require_credential,
    servers_of,
)
from gateway.store.keyring import CredentialKeys

if TYPE_CHECKING:
    from gateway.config import Settings
    from gateway.store.dynamo import DynamoStore

KEY = CredentialKeys.of("k" * 32)

OTHER = CredentialKeys.of("K" * 32)


def test_what_is_encrypted_opens_again_and_looks_like_nothing() -> None:
    stored = encrypt(KEY, "ada", "sk-ant-api03-secret")
    assert "secret" not in stored
    assert decrypt(KEY, "ada", stored) == "sk-ant-api03-secret"
    assert encrypt(KEY, "ada", "sk-ant-api03-secret") != stored


@pytest.mark.parametrize(
    ("key", "owner", "spoil"),
    [(OTHER, "ada", ""), (KEY, "bob", ""), (KEY, "ada", "x"), (KEY, "", "")],
    ids=["another key", "another owner", "changed", "no owner"],
)
def test_what_does_not_open_is_unset_and_logged_without_its_text(
    key: CredentialKeys, owner: str, spoil: str, caplog: pytest.LogCaptureFixture
) -> None:
    stored = encrypt(KEY, "ada", "sk-ant-api03-secret")
    with caplog.at_level(logging.WARNING):
        assert decrypt(key, owner, spoil + stored) is None
    assert "taken as unset" in caplog.text
    assert "VF_CREDENTIAL_KEY" in caplog.text
    assert stored not in caplog.text


def test_servers_open_for_their_owner_and_as_servers_alone() -> None:
    servers = {
        "docs": {"type": "http", "url": "https://docs.example", "headers": {"Authorization": "Bearer x"}}
    }
    stored = encrypt_servers(KEY, "ada", servers)
    assert "Bearer" not in stored
    assert servers_of(KEY, "ada", {"mcpServers": stored}) == servers
    assert servers_of(KEY, "bob", {"mcpServers": stored}) == {}
    assert servers_of(OTHER, "ada", {"mcpServers": stored}) == {}
    assert decrypt(KEY, "ada", stored) is None
    assert decrypt(KEY, "ada", encrypt(KEY, "ada", "x"), purpose=SERVERS) is None


def test_servers_put_in_clear_still_count() -> None:
    servers = {"files": {"command": "npx"}}
    assert servers_of(KEY, "ada", {"mcpServers": servers}) == servers
    assert servers_of(KEY, "ada", {}) == {}


async def test_a_users_own_comes_before_the_deployments(store: DynamoStore, store_settings: Settings) -> None:
    settings = replace(store_settings, model_api_key="sk-ant-api03-shared")
    assert await credential_of(store, store_settings, "ada") is None
    assert await credential_of(store, settings, "ada") == "sk-ant-api03-shared"
    own = encrypt(await store.credential_keys(), "ada", "sk-ant-oat01-own")
    await store.put_settings("ada", {"credential": own})
    assert await credential_of(store, settings, "ada") == "sk-ant-oat01-own"
    assert await credential_of(store, settings, "bob") == "sk-ant-api03-shared"


async def test_one_is_required_by_claude_alone(store: DynamoStore, store_settings: Settings) -> None:
    for agent in ("demo", "our-own"):
        await require_credential(store, replace(store_settings, agent=agent), "ada")
    claude = replace(store_settings, agent="claude")
    with pytest.raises(errors.CredentialMissing, match="put an Anthropic API key") as raised:
        await require_credential(store, claude, "ada")
    assert raised.value.status == 403
    assert raised.value.body()["code"] == "credential-missing"
    own = encrypt(await store.credential_keys(), "ada", "sk-ant-api03-own")
    await store.put_settings("ada", {"credential": own})
    await require_credential(store, claude, "ada")
    await require_credential(store, replace(claude, model_api_key="sk-ant-api03-shared"), "bob")
