"""The single table's keys: where each kind of item lives, how it sorts, and when it expires.

USER#<sub>       SESSION#<used>#<id>      a session in its owner's list: points to META
                 SETTINGS                 the user's settings
SESSION#<id>     META                     the session: active run, queue, version
                 MSG#<created>#<id>       a message
                 IDEM#<message id>        finds a message and its run by id; written once
                 RUN#<id>                 a run, its lease and its fence; in the index while pending or running
                 LOG#<run>#<last seq>     recorded frames up to `last`
                 PART#<name>#<n>          a piece of a body too large for one item
TICKET#<id>      TICKET                   a ticket and who used it
RATE#<name>#<who>  <window>             how much somebody has had in a window of time (rates.py)
USAGE#user#<sub>, USAGE#stack  <day>    what the model's API was used for; SESSION#<id> USAGE#<run> likewise (usage.py)
PLACES           STARTING                sandboxes that are being started (places.py)
POOL             MEMBER#<id>, KEEPER      the pool of sandboxes, and who refills it (pool.py)
MEMBER#<id>      SESSION                  who claimed that sandbox; SESSION#<id> SANDBOX: where a session's is
AUDIT#<day>      BLOCK#<number>           a block of events; AUDIT HEAD: which is the newest (audit.py)
KEYS             KEY#<name>               a data key, encrypted (keyring.py)
TABLE            BIRTH                    when the first gateway opened this table, the first with a pool, and the first
                                          that encrypts bodies
"""

from __future__ import annotations

import base64
import binascii
import zlib
from typing import Final

from gateway.errors import BadRequest

Key = tuple[str, str]
"""`(pk, sk)`."""

META: Final = "META"
SESSION: Final = "SESSION#"
MESSAGE: Final = "MSG#"
RUN: Final = "RUN#"

KEYS: Final = "KEYS"
KEY: Final = "KEY#"

BIRTH: Final = ("TABLE", "BIRTH")
STARTING: Final = ("PLACES", "STARTING")
AUDIT_HEAD: Final = ("AUDIT", "HEAD")
BLOCK: Final = "BLOCK#"

POOL: Final = "POOL"
MEMBER: Final = "MEMBER#"
KEEPER: Final = (POOL, "KEEPER")

SORT_KEY_BYTES: Final = 1024
"""Longest sort key that DynamoDB takes (its documented limit)."""

OPEN_SHARDS: Final = 4
"""Partitions of the index of open runs: a renewal writes it twice (the range key moves), a partition takes
1,000 writes a second, so four hold some 2,000 renewals a second."""


def user(owner: str) -> str:
    return f"USER#{owner}"


def session(session_id: str) -> str:
    return f"SESSION#{session_id}"


def meta(session_id: str) -> Key:
    return session(session_id), META


def entry(owner: str, session_id: str, used_at: float) -> Key:
    """The listing entry sorts by the session's last use."""
    return user(owner), f"{SESSION}{_moment(used_at)}#{session_id}"


def settings(owner: str) -> Key:
    return user(owner), "SETTINGS"


def message(session_id: str, message_id: str, created_at: float) -> Key:
    return session(session_id), f"{MESSAGE}{_moment(created_at)}#{message_id}"


def idem(session_id: str, message_id: str) -> Key:
    return session(session_id), f"IDEM#{message_id}"


def run(session_id: str, run_id: str) -> Key:
    return session(session_id), f"{RUN}{run_id}"


def log(session_id: str, run_id: str, last: int) -> Key:
    """Keyed by its last frame: one range query from `after + 1` begins with the item that holds that frame."""
    return session(session_id), f"LOG#{run_id}#{last:012d}"


def last_of(sort_key: str) -> int:
    """The last frame of a LOG item."""
    return int(sort_key.rpartition("#")[2])


def part(session_id: str, name: str, number: int) -> Key:
    return session(session_id), f"PART#{name}#{number:06d}"


def data_key(name: str) -> Key:
    return KEYS, f"{KEY}{name}"


def ticket(ticket_id: str) -> Key:
    return f"TICKET#{ticket_id}", "TICKET"


def rate(name: str, who: str, window: int) -> Key:
    """The counter of somebody's `window`-th window since the epoch."""
    return f"RATE#{name}#{who}", str(window)


def usage_of_session(session_id: str, run_id: str = "") -> Key:
    """What a session's run has used; without a run, the session."""
    return session(session_id), f"USAGE#{run_id}"


def usage_of_user(owner: str, day: str) -> Key:
    return f"USAGE#user#{owner}", day


def usage_of_stack(day: str) -> Key:
    return "USAGE#stack", day


def is_of_session(key: Key) -> bool:
    """Whether the item is one of a session's, and goes with it."""
    return key[0].startswith(SESSION)


def member(member_id: str) -> Key:
    return POOL, f"{MEMBER}{member_id}"


def claimed(member_id: str) -> Key:
    return f"{MEMBER}{member_id}", "SESSION"


def audit_day(day: str) -> str:
    return f"AUDIT#{day}"


def audit(day: str, number: int) -> Key:
    return audit_day(day), f"{BLOCK}{number:09d}"


def place(session_id: str) -> Key:
    return session(session_id), "SANDBOX"


def shards() -> tuple[str, ...]:
    """Every hash key of the index of open runs."""
    return tuple(f"open#{number}" for number in range(OPEN_SHARDS))


def shard(run_id: str) -> str:
    """The shard of a run: by a stable hash, as ULIDs made in one burst share their first characters."""
    return f"open#{zlib.crc32(run_id.encode()) % OPEN_SHARDS}"


def _moment(seconds: float) -> str:
    return f"{max(0, round(seconds * 1_000_000)):017d}"


def to_cursor(sort_key: str) -> str:
    """A sort key as an opaque, URL-safe cursor."""
    return base64.urlsafe_b64encode(sort_key.encode()).decode().rstrip("=")


def from_cursor(cursor: str, prefix: str) -> str:
    """The sort key of a cursor of a listing under `prefix`. Raises `errors.BadRequest` for anything else."""
    try:
        sort_key = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode()
    except (binascii.Error, ValueError):
        sort_key = ""
    if not sort_key.startswith(prefix) or len(sort_key.encode()) > SORT_KEY_BYTES:
        raise BadRequest("cursor is not one that this listing gave", field="cursor")
    return sort_key
