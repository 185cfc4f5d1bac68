"""Stop, pause and resume: what somebody asks of a run, brought to its sandbox from whichever gateway was asked."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

from gateway import errors
from gateway.model import Run, RunState
from gateway.sandboxes.drivers import SandboxState

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.concurrency.condition import Condition
    from gateway.runs.recording.recorder import Recorder
    from gateway.sandboxes.agent_client import AgentClient
    from gateway.sandboxes.drivers import Driver, Sandbox
    from gateway.store import Store

log = logging.getLogger(__name__)

STOP_SECONDS = 4.0
"""How long somebody who stops a run waits for its sandbox, and for the store where the run is recorded here."""


class Signals:
    """Asks runs to stop, pause or resume. `recorder_of(session, run)`: the recorder of a run that is driven here."""

    def __init__(
        self,
        store: Store,
        driver: Driver,
        agent: AgentClient,
        changed: Condition,
        recorder_of: Callable[[str, str | None], Recorder | None],
    ) -> None:
        self._store = store
        self._driver = driver
        self._agent = agent
        self._changed = changed
        self._recorder_of = recorder_of

    async def stop(self, session: str, run: str | None) -> Run | None:
        """Ask a run (None: the active one) to stop; from any gateway. Stopping what has ended is success; None when
        there was nothing to stop. The text so far is kept, `process-exit{reason:"stopped"}` ends the run.

        Its sandbox is asked beside the store: where the run is recorded here it stops also while the store is away.
        """
        recorder = self._recorder_of(session, run)
        if recorder is not None:
            asked = await self._stop_here(recorder)
        else:
            run = run or (await self._store.get_session(session)).active_run
            if run is None:
                return None
            _, asked = await asyncio.gather(
                self._stop_there(session, run), self._store.request_stop(session, run)
            )
        self._changed.notify_all()
        return asked

    async def pause(self, session: str, run: str | None, *, resume: bool = False) -> Run:
        """Freeze (or let go on) the agent's processes. Raises `Conflict` when the run is not running."""
        run = run or (await self._store.get_session(session)).active_run
        if run is None:
            raise errors.Conflict("There is no run in this session to pause or resume.")
        known = await self._store.get_run(session, run)
        if known.state is not RunState.RUNNING:
            raise errors.Conflict(f"The run is {known.state}; only a running one can be paused or resumed.")
        await self._signal(session, run, "resume" if resume else "pause")
        return known

    async def notice(self, session: str, run: str, frame: dict[str, Any]) -> None:
        """Put a frame of the gateway's into a run that is on. Raises `Conflict`, `RunNotFound` and
        `SandboxUnavailable`."""
        await self._agent.notice(await self._running(session), run, frame)

    async def _stop_here(self, recorder: Recorder) -> Run:
        run = recorder.run
        try:
            async with asyncio.timeout(STOP_SECONDS):
                _, asked = await asyncio.gather(
                    recorder.ask_stop(), self._store.request_stop(run.session, run.id)
                )
        except (TimeoutError, errors.StoreUnavailable) as error:
            # The recorder knows, and asks the sandbox until it has heard it.
            log.warning("session %s run %s: stopped, not in the store yet: %r", run.session, run.id, error)
            return recorder.run
        return asked

    async def _stop_there(self, session: str, run: str) -> None:
        try:
            async with asyncio.timeout(STOP_SECONDS):
                await self._signal(session, run, "stop")
        except (TimeoutError, errors.VaporForgeError) as error:
            # The recorder, wherever it is, sees the request in the store and repeats it.
            log.info("session %s run %s: stop left to its recorder: %r", session, run, error)

    async def _signal(self, session: str, run: str, action: str) -> None:
        await self._agent.signal(await self._running(session), run, action)

    async def _running(self, session: str) -> Sandbox:
        sandbox = await self._driver.status(session)
        if sandbox.state is not SandboxState.RUNNING:
            raise errors.SandboxUnavailable("The sandbox of this session is not running.")
        return sandbox
