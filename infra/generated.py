"""Secrets that a stack makes for itself once and keeps in its state, encrypted: a dynamic resource."""

from __future__ import annotations

from typing import Any

import pulumi
from pulumi.dynamic import CreateResult, Resource, ResourceProvider, UpdateResult

from infra.portable import portable

NAMES = ("jwt", "sandbox", "credential", "launcher", "proxy")


def _provider() -> ResourceProvider:
    # Local classes are pickled by value: the state carries the code, and no process has to find this project.
    class SecretsProvider(ResourceProvider):
        def create(self, props: dict[str, Any]) -> CreateResult:
            import secrets

            made = {name: secrets.token_urlsafe(48) for name in props["names"]}
            return CreateResult(id_=secrets.token_hex(8), outs={"names": props["names"], **made})

        def update(self, _id: str, olds: dict[str, Any], news: dict[str, Any]) -> UpdateResult:
            import secrets

            made = {name: olds.get(name) or secrets.token_urlsafe(48) for name in news["names"]}
            return UpdateResult(outs={"names": news["names"], **made})

    return portable(SecretsProvider)


class GeneratedSecrets(Resource, module="vaporforge", name="Secrets"):
    """64 random URL-safe characters for each of `NAMES`; a name that is added later leaves the others as they are."""

    jwt: pulumi.Output[str]
    sandbox: pulumi.Output[str]
    credential: pulumi.Output[str]
    launcher: pulumi.Output[str]
    proxy: pulumi.Output[str]

    def __init__(self, name: str, opts: pulumi.ResourceOptions) -> None:
        props: dict[str, Any] = {"names": list(NAMES), **dict.fromkeys(NAMES)}
        opts = pulumi.ResourceOptions.merge(
            opts, pulumi.ResourceOptions(additional_secret_outputs=list(NAMES))
        )
        super().__init__(_provider(), name, props, opts)
