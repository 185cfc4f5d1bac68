"""Names of the metrics that gateways publish, in lines of their log (CloudWatch's embedded metric format)."""

from __future__ import annotations

from typing import Final

NAMESPACE: Final = "VaporForge"

STACK_DIMENSION: Final = "Stack"
"""The only dimension: the stack's id."""

OPEN_CONNECTIONS: Final = "OpenConnections"
"""At one gateway, so that their average is a gateway's load."""

RUNS_LOST: Final = "RunsLost"
"""Runs that ended as `lost` since the last line."""

POOL_READY: Final = "PoolReady"
"""Started sandboxes that belong to nobody, as one gateway sees them."""
