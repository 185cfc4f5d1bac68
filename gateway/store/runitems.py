"""A run as an item, and the conditions that fence its writes."""

from __future__ import annotations

from typing import Any, Final

from gateway.errors import RunNotFound
from gateway.model import TRANSITIONS, Author, Mode, NewRun, Run, RunState
from gateway.store import keys
from gateway.store.codec import Item

FENCE: Final = "#generation = :generation AND #lease_owner = :holder AND #state IN (:pending, :running)"
"""The lease is `run`'s (with `**fence(run)`): nobody took it over or gave it back, and the run has not ended."""


def fence(run: Run) -> dict[str, Any]:
    """The values of `FENCE`."""
    return {
        "generation": run.generation,
        "holder": run.lease_owner,
        "pending": RunState.PENDING,
        "running": RunState.RUNNING,
    }


def may_become(state: RunState) -> tuple[str, dict[str, Any]]:
    """The condition that a run may become `state` (see `model.TRANSITIONS`), and its values."""
    sources = [source for source, targets in TRANSITIONS.items() if state in targets]
    values = {f"from_{source}": source for source in sources}
    return f"#state IN ({', '.join(f':{name}' for name in values)})", values


def new_item(new: NewRun, *, gateway: str, lease_until: float, queued: bool) -> Item:
    """RUN of an admitted prompt: active with its lease held, or queued with none. It expires only after its end."""
    pk, sk = keys.run(new.session, new.id)
    item: Item = {
        "pk": pk,
        "sk": sk,
        "id": new.id,
        "session": new.session,
        "owner": new.owner,
        "message": new.message,
        "state": RunState.QUEUED if queued else RunState.PENDING,
        "mode": new.mode,
        "cwd": new.cwd,
        "created_at": new.created_at,
        "recorded": 0,
        "generation": 0 if queued else 1,
        "lease_owner": "" if queued else gateway,
        "lease_until": 0 if queued else lease_until,
        "stop_requested": False,
        "reason": "",
    }
    if new.author is not None:
        item["author"] = {"name": new.author.name, "email": new.author.email}
    if new.seal:
        item["seal"] = new.seal
    if not queued:
        item["open"] = keys.shard(new.id)
    return item


def from_item(item: Item) -> Run:
    """The run of an item, or of an entry of the index (which holds what never changes, and the lease)."""
    author = item.get("author")
    return Run(
        id=item["id"],
        session=item["session"],
        owner=item["owner"],
        message=item["message"],
        state=RunState(item["state"]),
        mode=Mode(item["mode"]),
        cwd=item["cwd"],
        created_at=float(item["created_at"]),
        author=Author(name=author["name"], email=author["email"]) if author else None,
        recorded=item.get("recorded", 0),
        own=item.get("own", 0),
        generation=item["generation"],
        lease_owner=item["lease_owner"],
        lease_until=float(item["lease_until"]),
        takeovers=item.get("takeovers", 0),
        stop_requested=item.get("stop_requested", False),
        reason=item.get("reason", ""),
        seal=str(item.get("seal", "")),
    )


def not_found(run: str) -> RunNotFound:
    """The error for a run that is not there."""
    return RunNotFound(f"there is no run {run} in this session; it may have expired", field="run")
