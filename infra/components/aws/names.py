"""What every resource of the target says of itself: its stack, its part, its name, and whether it is kept."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Final

import pulumi

STACK_TAG: Final = "vaporforge:stack"
ROLE_TAG: Final = "vaporforge:role"

ANYWHERE: Final = "0.0.0.0/0"

RANDOM_LETTERS: Final = 8
"""What Pulumi adds to a name: a hyphen and seven hexadecimal digits."""

BALANCER_LETTERS: Final = 32 - RANDOM_LETTERS
"""Longest name of a load balancer or target group before Pulumi's letters (ELBv2 takes 32)."""

ROLE_LETTERS: Final = 64 - RANDOM_LETTERS
"""Of an IAM role (64)."""

BUCKET_LETTERS: Final = 63 - RANDOM_LETTERS
"""Of a bucket (63)."""


def tags_of(stack_id: str, role: str) -> Mapping[str, str]:
    """On everything that can have tags. `role`: which part of the stack it is."""
    return {"Name": f"{stack_id}-{role}", STACK_TAG: stack_id, ROLE_TAG: role}


def short(stack_id: str, part: str, most: int) -> str:
    """`<stack>-<part>` of letters, digits and hyphens; a longer one than `most` is cut, and told apart by a hash."""
    name = f"{stack_id}-{part}".replace("_", "-")
    if len(name) <= most:
        return name
    digest = hashlib.sha256(name.encode()).hexdigest()[:6]
    return f"{name[: most - 7 - len(part) - 1].rstrip('-')}-{digest}-{part}"


def label_of(stack: str) -> str:
    """A stack's name as one label of a host's name (RFC 1123 has no underscores)."""
    return stack.replace("_", "-")


def kept(parent: pulumi.Resource, protect: bool) -> pulumi.ResourceOptions:
    """For what holds data: in a protected stack `pulumi destroy` refuses, and AWS keeps it even where it is told on."""
    return pulumi.ResourceOptions(parent=parent, protect=protect, retain_on_delete=protect)
