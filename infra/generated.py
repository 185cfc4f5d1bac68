"""Secrets that a stack makes for itself once and keeps in its state, encrypted."""

from __future__ import annotations

from typing import Any

import pulumi

from infra.own import StackResource

NAMES = ("jwt", "sandbox", "credential", "launcher", "proxy")


class GeneratedSecrets(StackResource):
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
        super().__init__("Secrets", name, props, opts)
