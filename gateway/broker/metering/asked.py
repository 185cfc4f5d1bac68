"""What a call asks for, as far as it says what the call may cost: read out of a body that is judged. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Asked:
    """`models`: those that it names, the one that is asked first; its fallbacks' and its advisors' too. `whole`: tokens
    of an answer that comes all at once, which nothing can cut; 0 for a stream."""

    models: tuple[str, ...] = ()
    whole: int = 0


def asked_of(body: Mapping[str, Any]) -> Asked:
    """Of a call's body; a model that is no text is an empty one."""
    parts = [*_objects(body.get("fallbacks")), *_objects(body.get("tools"))]
    named = [body.get("model"), *(part["model"] for part in parts if "model" in part)]
    most = body.get("max_tokens")
    whole = most if type(most) is int and most > 0 and body.get("stream") is not True else 0
    return Asked(tuple(model if isinstance(model, str) else "" for model in named), whole)


def _objects(field: Any) -> list[dict[str, Any]]:
    return [part for part in field if isinstance(part, dict)] if isinstance(field, list) else []
