"""What the types of our own provider (`infra/plugin/stack`) are declared by."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pulumi

PACKAGE = "vaporforge-stack"


class StackResource(pulumi.CustomResource):
    """A resource of the type `kind`. A state of VaporForge 0.20 has it as a dynamic resource: it is the same one."""

    def __init__(self, kind: str, name: str, props: Mapping[str, Any], opts: pulumi.ResourceOptions) -> None:
        alias = pulumi.Alias(type_=f"pulumi-python:dynamic/vaporforge:{kind}")
        opts = pulumi.ResourceOptions.merge(opts, pulumi.ResourceOptions(aliases=[alias]))
        super().__init__(f"{PACKAGE}:index:{kind}", name, dict(props), opts)
