"""What ECS says when it starts no task: by its words, what helps against it, and the sentence that people read."""

from __future__ import annotations

from enum import Enum
from typing import Final

from gateway import errors


class Trouble(Enum):
    """What helps."""

    THROTTLED = "throttled"
    """Waiting a little: the account's calls come too fast."""
    CAPACITY = "capacity"
    """Another kind of capacity, or another zone: AWS has no room of this one now."""
    QUOTA = "quota"
    """Fewer sandboxes, or a higher quota."""
    LASTING = "lasting"
    """Nothing but mending the deployment."""
    AWAY = "away"
    """Asking again: ECS does not answer, or has an error of its own."""
    CONFLICT = "conflict"
    """Another request with this client token was there before."""


class Refused(Exception):
    """ECS did not do what was asked. `tasks`: those which a conflict names."""

    def __init__(self, trouble: Trouble, said: str, tasks: tuple[str, ...] = ()) -> None:
        super().__init__(said)
        self.trouble = trouble
        self.said = said
        self.tasks = tasks


_LASTING: Final = frozenset(
    {
        "AccessDeniedException",
        "BlockedException",
        "ClientException",
        "ClusterNotFoundException",
        "InvalidParameterException",
        "PlatformTaskDefinitionIncompatibilityException",
        "PlatformUnknownException",
        "UnrecognizedClientException",
        "UnsupportedFeatureException",
    }
)
"""Errors of RunTask by which its request, its permissions or the account are at fault (the API's reference)."""

_WORDS: Final = (
    # Before throttling: "limit" is in both.
    (Trouble.QUOTA, ("reached the limit on the number of", "above your limit")),
    (Trouble.THROTTLED, ("throttl", "rate exceeded", "request limit exceeded", "requestlimitexceeded")),
    (
        Trouble.CAPACITY,
        (
            "resource:",
            "capacity is unavailable",
            "insufficient capacity",
            "capacity error",
            "insufficientfreeaddresses",
            "insufficient free addresses",
            "spot task was interrupted",
        ),
    ),
    (Trouble.LASTING, ("manifest unknown", "pull access denied", "repository does not exist", ": not found")),
)
"""Words of errors, of failures (documented as API failure reasons) and of stopped tasks. ECS writes some of them with
a typographic apostrophe, so none is among them."""


def trouble_of(code: str, said: str) -> Trouble:
    """What an error's code and message, a failure's reason and detail, or a task's `stoppedReason` mean."""
    if code == "ConflictException":
        return Trouble.CONFLICT
    text = f"{code} {said}".lower()
    for trouble, words in _WORDS:
        if any(word in text for word in words):
            return trouble
    return Trouble.LASTING if code in _LASTING else Trouble.AWAY


def told(refused: Refused) -> errors.SandboxUnavailable:
    """The gateway's error for it: `SandboxUnstartable` where waiting does not help."""
    match refused.trouble:
        case Trouble.THROTTLED:
            return errors.SandboxUnavailable("AWS takes no more requests at the moment; send it again.")
        case Trouble.CAPACITY:
            return errors.SandboxUnavailable(
                "AWS has no room for a sandbox in this stack's zones at the moment; send it again."
            )
        case Trouble.QUOTA:
            return errors.SandboxUnstartable(
                "This AWS account runs as many tasks as its Fargate quota allows: send it again when a sandbox has "
                "stopped, or have the quota raised."
            )
        case Trouble.LASTING:
            return errors.SandboxUnstartable(f"AWS refuses what a sandbox needs: {refused.said}")
        case _:
            return errors.SandboxUnavailable(f"ECS does nothing for a sandbox at the moment: {refused.said}")
