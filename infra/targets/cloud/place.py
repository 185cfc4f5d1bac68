"""Where a stack of the `aws` target is, and what follows from its settings everywhere."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pulumi

from infra.config import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """`account`, `partition`: where the stack is. `protect`: whether its data outlives it."""

    settings: Settings
    root: Path
    account: pulumi.Output[str]
    partition: pulumi.Output[str]
    protect: bool
    options: pulumi.ResourceOptions

    @property
    def stack_id(self) -> str:
        return self.settings.stack_id
