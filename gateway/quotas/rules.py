"""The rates that the settings name: what is counted, whose it is, and the words of each limit. 0 is no limit."""

from __future__ import annotations

import hashlib
import ipaddress
from typing import TYPE_CHECKING, Final

from gateway.store.quotas import DAY, HOUR, MINUTE, Limit, Rate

if TYPE_CHECKING:
    from gateway.config import Settings

SIGN_IN_MINUTES: Final = 10

MB: Final = 1024 * 1024


def prompts(settings: Settings, user: str) -> Rate:
    """Prompts that become runs."""
    minute, day = settings.prompts_per_minute, settings.prompts_per_day
    return _rate(
        "prompts",
        user,
        Limit("prompts", minute, MINUTE, f"You may send {minute} prompts a minute"),
        Limit("prompts", day, DAY, f"You may send {day} prompts a day"),
    )


def sessions(settings: Settings, user: str) -> Rate:
    """Sessions that are made."""
    most = settings.sessions_per_hour
    return _rate("sessions", user, Limit("sessions", most, HOUR, f"You may start {most} sessions an hour"))


def tickets(settings: Settings, user: str) -> Rate:
    """Tickets that are given."""
    most = settings.tickets_per_minute
    return _rate("tickets", user, Limit("tickets", most, MINUTE, f"You may ask for {most} tickets a minute"))


def sign_ins_from(settings: Settings, address: str) -> Rate:
    """Failed sign-ins from an address."""
    return _sign_ins(settings, "address", network(address), "from one address")


def sign_ins_as(settings: Settings, subject: str) -> Rate:
    """Failed sign-ins that claimed to be `subject`; a digest of it is kept, as nobody vouches for the text."""
    digest = hashlib.sha256(subject.encode("utf-8", "replace")).hexdigest()
    return _sign_ins(settings, "subject", digest, "in one user's name")


def model_calls(settings: Settings, user: str) -> Rate:
    """What a user's sandboxes ask the model's API for, and the bytes of it, both ways."""
    calls, size = settings.model_calls_per_minute, settings.model_mb_per_day
    return _rate(
        "model",
        user,
        Limit("calls", calls, MINUTE, f"Your sandboxes may call the model {calls} times a minute"),
        Limit("bytes", size * MB, DAY, f"Your sandboxes may exchange {size} MB a day with the model's API"),
    )


def egress(settings: Settings, user: str) -> Rate:
    """What a user's sandboxes exchange with hosts outside, both ways."""
    size = settings.egress_mb_per_day
    rule = f"Your sandboxes may exchange {size} MB a day with hosts outside"
    return _rate("egress", user, Limit("bytes", size * MB, DAY, rule))


def network(address: str) -> str:
    """What is one address for counting: an IPv6 network of 64 bits is one machine's (RFC 4291 section 2.5.1)."""
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return "unknown"
    if isinstance(parsed, ipaddress.IPv6Address) and parsed.ipv4_mapped is None:
        return str(ipaddress.ip_network((parsed, 64), strict=False))
    return str(getattr(parsed, "ipv4_mapped", None) or parsed)


def _sign_ins(settings: Settings, kind: str, who: str, where: str) -> Rate:
    most = settings.failed_sign_ins
    rule = f"A sign-in may fail {most} times in {SIGN_IN_MINUTES} minutes {where}"
    return _rate(f"sign-ins-{kind}", who, Limit("failures", most, SIGN_IN_MINUTES * MINUTE, rule))


def _rate(name: str, who: str, *limits: Limit) -> Rate:
    return Rate(name, who, tuple(limit for limit in limits if limit.most))
