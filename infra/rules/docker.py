"""Rules of the `docker` target: the proxy's files, the engine's forwarder and its networks, and the keys of a table."""

from __future__ import annotations

import ipaddress
from typing import Final

from infra.config import Settings
from infra.rules import facts, shape
from infra.rules.rule import DOCKER, Formed, Ordered, Rule
from infra.rules.terms import POOL, counted, figure, key, named


def _forwarded(settings: Settings) -> bool:
    """Whether the engine's own proxy is between the port and ours. What comes by IPv6 it forwards the same way
    where the stack's network has none, as by default."""
    address = ipaddress.ip_address(settings.bind_address)
    return address.is_loopback or address.version == 6


def _table_keys(settings: Settings) -> str | None:
    if settings.dynamodb != "aws":
        return None
    for name in ("aws_access_key_id", "aws_secret_access_key"):
        if getattr(settings, name) is None:
            return (
                f"{named(name)} is not set; vaporforge:dynamodb is aws, so it must be "
                f"(pulumi config set --secret {named(name)})"
            )
    return None


def _kms(settings: Settings) -> str | None:
    if settings.encrypt_with != "kms":
        return None
    return (
        f"{named('encrypt_with')} is kms; it must be secret on docker: gateways have no key of KMS there, and data "
        "keys are encrypted with the stack's own secret"
    )


SUBNETS: Final = counted("subnets for sandboxes' networks", shape.sandbox_subnets, "sandbox_networks")


RULES: Final[tuple[Rule, ...]] = (
    Ordered(
        name="forwarder",
        targets=DOCKER,
        left=key("connections"),
        right=figure(facts.LOOPBACK_CONNECTIONS, "what the engine's own proxy bears"),
        change="connections",
        when=_forwarded,
        given=("bind_address",),
        told_when=", where `bindAddress` is a loopback or an IPv6 address",
        why="the engine's own proxy there bears no more",
    ),
    Ordered(
        name="proxy-files",
        targets=DOCKER,
        left=facts.PROXY_FILES_PER_CLIENT * key("connections") + facts.PROXY_FILES,
        right=key("part_files"),
        change="part_files",
        why="the proxy opens so many: two for each client, and it takes twice the clients for a moment to turn half of "
        "them away",
    ),
    Ordered(
        name="pool-networks",
        targets=DOCKER,
        left=POOL,
        right=SUBNETS,
        strict=True,
        change="sandbox_networks",
        why="each sandbox that waits is on a network of its own, and those that sessions have are too",
    ),
    Ordered(
        name="networks",
        targets=DOCKER,
        left=key("sandboxes") + POOL,
        right=SUBNETS,
        change="sandboxes",
        why="each sandbox is on a network of its own",
    ),
    Formed(
        name="table-keys",
        targets=DOCKER,
        told="`awsAccessKeyId` and `awsSecretAccessKey` are set, where `dynamodb` is `aws`",
        why="gateways open the table with them; on aws their role does",
        judge=_table_keys,
    ),
    Formed(
        name="kms",
        targets=DOCKER,
        told="`encryptWith` is `secret`",
        why="a key of KMS gateways have on aws alone",
        judge=_kms,
    ),
)
