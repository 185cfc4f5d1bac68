"""Tells a session's run of a host that its sandbox may not reach."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from gateway import errors
from gateway.sandboxes.drivers import SandboxState

if TYPE_CHECKING:
    from gateway.sandboxes.agent_client import AgentClient
    from gateway.sandboxes.drivers import Driver

log = logging.getLogger(__name__)


async def tell_blocked(
    driver: Driver, agent: AgentClient, session: str, host: str, why: str, *, may_allow: bool
) -> None:
    """The agent server numbers the frame, as it does all of them; a sandbox that cannot be told is left alone."""
    try:
        sandbox = await driver.status(session)
        if sandbox.state is SandboxState.RUNNING:
            await agent.egress_blocked(sandbox, host, why, may_allow=may_allow)
    except errors.VaporForgeError as error:
        log.info("session %s: its run was not told of a blocked host: %s", session, error)
