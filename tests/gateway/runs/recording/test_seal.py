"""What is in the table alone starts nothing on this machine: a run needs a seal, and a server of MCP its encryption."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from gateway.errors import BadRequest
from gateway.ids import new_id
from gateway.model import Author, Mode, NewRun, OnBusy, RunState, Session
from gateway.runs.recording.query import build_query
from gateway.runs.recording.seal import admitted_prompt, sealed
from gateway.sandboxes.drivers import SandboxState

if TYPE_CHECKING:
    from tests.gateway.stack import Stack


def asked(session: str) -> NewRun:
    return NewRun(
        id=new_id(),
        session=session,
        owner="ada",
        message=new_id(),
        prompt="write a file",
        mode=Mode.AGENT,
        cwd="/workspace",
        created_at=time.time(),
        author=Author(name="Ada", email="ada@example.com"),
    )


async def made(stack: Stack) -> str:
    session, now = new_id(), time.time()
    store = stack.gateways[0].runs.store
    await store.create_session(Session(id=session, owner="ada", title="", created_at=now, updated_at=now))
    return session


async def put(stack: Stack, new: NewRun) -> Any:
    """The run in the table, its lease run out, as of a gateway that died."""
    admission = await stack.gateways[0].runs.store.create_run(
        new, on_busy=OnBusy.QUEUE, queue_limit=8, gateway="a stranger", lease_seconds=-1
    )
    return admission.run


async def test_a_run_that_a_stranger_puts_into_the_table_starts_nothing(stack: Stack) -> None:
    run = await put(stack, asked(await made(stack)))
    assert await stack.final(run.session, run.id) == RunState.FAILED
    sandbox = await stack.gateways[0].runs.driver.status(run.session)
    assert sandbox.state is SandboxState.ABSENT


async def test_a_run_of_a_gateway_that_died_is_still_taken_over(stack: Stack) -> None:
    run = await put(stack, sealed(stack.settings, asked(await made(stack))))
    assert await stack.final(run.session, run.id) == RunState.COMPLETED


@pytest.mark.parametrize(
    "change",
    [
        {"cwd": "/"},
        {"mode": Mode.PLAN},
        {"owner": "eve"},
        {"session": "s2"},
        {"id": "r2"},
        {"message": "m2"},
        {"author": Author(name="Eve", email="ada@example.com")},
        {"author": None},
    ],
    ids=str,
)
async def test_a_seal_is_of_one_run_alone(stack: Stack, change: dict[str, Any]) -> None:
    run = await put(stack, sealed(stack.settings, asked(await made(stack))))
    store = stack.gateways[0].runs.store
    assert await admitted_prompt(stack.settings, store, run, None) == "write a file"
    with pytest.raises(BadRequest):
        await admitted_prompt(stack.settings, store, replace(run, **change), "write a file")
    with pytest.raises(BadRequest):
        await admitted_prompt(stack.settings, store, run, "delete all files")


async def test_servers_that_a_stranger_puts_into_settings_are_none(stack: Stack) -> None:
    store = stack.gateways[0].runs.store
    servers = {"evil": {"type": "stdio", "command": "/bin/sh", "args": ["-c", "touch /tmp/owned"]}}
    await store.put_settings("ada", {"mcpServers": servers})
    run = await put(stack, sealed(stack.settings, asked(await made(stack))))
    assert (await build_query(stack.settings, store, run, "hi"))["mcpServers"] == {}
    elsewhere = replace(stack.settings, driver="docker")
    assert (await build_query(elsewhere, store, run, "hi"))["mcpServers"] == servers
