"""Typed keys of what the application holds."""

from __future__ import annotations

from typing import Final

from aiohttp import web

from container.agent.agent import Agent
from container.occupant import Occupant
from container.runs.service import RunService
from container.settings import Settings
from container.terminals.service import Terminals
from container.web.connections import Connections
from container.web.relay import Relay
from container.workspace.snapshot import Snapshots

SETTINGS: Final = web.AppKey("settings", Settings)
OCCUPANT: Final = web.AppKey("occupant", Occupant)
AGENT: Final = web.AppKey("agent", Agent)
RUNS: Final = web.AppKey("runs", RunService)
RELAY: Final = web.AppKey("relay", Relay)
CONNECTIONS: Final = web.AppKey("connections", Connections)
SNAPSHOTS: Final = web.AppKey("snapshots", Snapshots)
TERMINALS: Final = web.AppKey("terminals", Terminals)
