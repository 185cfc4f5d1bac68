"""The `ecs` driver on a scripted ECS: one task a session whatever happens, and what is said when there is none."""

from __future__ import annotations

import asyncio
import secrets
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from aiohttp import web
from botocore.exceptions import ReadTimeoutError

from container.protocol import AGENT_PORT, sandbox_token
from gateway import errors
from gateway.config import Settings
from gateway.sandboxes.drivers import SandboxState, phase_of
from gateway.sandboxes.drivers.ecs import driver as ecs
from gateway.sandboxes.drivers.ecs.driver import EcsDriver
from tests.gateway.sandboxes.drivers.ecs.scripted_ecs import ScriptedEcs, refusal
from tests.hostile import taken_as_known

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

SECRET = "s" * 32
SETTINGS = Settings(
    stack="shop-dev",
    jwt_secret="j" * 32,
    sandbox_secret=SECRET,
    credential_key="c" * 32,
    driver="ecs",
    blobs="s3://bucket",
    start_seconds=30.0,
    ecs_cluster="arn:aws:ecs:eu-west-1:123456789012:cluster/stack",
    ecs_task_definition="arn:aws:ecs:eu-west-1:123456789012:task-definition/shop-dev-sandbox:7",
    ecs_subnets=("subnet-0a", "subnet-0b"),
    ecs_security_groups=("sg-01",),
)
RUNNING, STARTING, STOPPED, ABSENT = (
    SandboxState.RUNNING,
    SandboxState.STARTING,
    SandboxState.STOPPED,
    SandboxState.ABSENT,
)
NO_ROOM = "Capacity is unavailable at this time. Please try again later or in a different availability zone"


@pytest.fixture(autouse=True)
def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("LOOK_SECONDS", 0.005), ("FIRST_PAUSE", 0.002), ("LAST_PAUSE", 0.01)):
        monkeypatch.setattr(ecs, name, value)
    monkeypatch.setattr("gateway.sandboxes.drivers.ecs.tasks.END_LOOK_SECONDS", 0.005)


@pytest.fixture
async def cloud() -> AsyncIterator[ScriptedEcs]:
    """An ECS whose tasks all have one address, of a server that answers for whoever's token it is shown."""
    cloud = ScriptedEcs(
        f"127.{secrets.randbelow(250) + 1}.{secrets.randbelow(256)}.{secrets.randbelow(250) + 2}"
    )

    async def ping(request: web.Request) -> web.Response:
        shown = request.headers["Authorization"].removeprefix("Bearer ")
        for task in cloud.tasks.values():
            session = task["startedBy"]
            if task["desiredStatus"] == "RUNNING" and shown == sandbox_token(SECRET.encode(), session):
                lost = cloud.told(session)["VF_LOST_REASON"]
                return web.json_response({"session": session, "fresh": True, "lostReason": lost})
        return web.Response(status=401)

    app = web.Application()
    app.router.add_get("/ping", ping)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, cloud.address, AGENT_PORT).start()
    with taken_as_known():
        yield cloud
    await runner.cleanup()


@pytest.fixture
async def gateway(cloud: ScriptedEcs) -> AsyncIterator[Callable[..., EcsDriver]]:
    """Makes drivers as further gateways have them."""
    made: list[EcsDriver] = []

    def make(**changes: Any) -> EcsDriver:
        made.append(EcsDriver(replace(SETTINGS, **changes), lambda: cloud))
        return made[-1]

    yield make
    for driver in made:
        await driver.close()


async def test_a_start_asks_for_a_task_of_the_session(
    cloud: ScriptedEcs, gateway: Callable[..., EcsDriver]
) -> None:
    sandbox = await gateway().ensure("s1")
    assert (sandbox.state, sandbox.host, sandbox.port) == (RUNNING, cloud.address, AGENT_PORT)
    assert sandbox.fresh
    assert sandbox.started_at > 0
    (request,) = cloud.requests
    token = sandbox_token(SECRET.encode(), "s1")
    assert cloud.told("s1") == {
        "VF_SESSION": "s1",
        "VF_SANDBOX_TOKEN": token,
        "VF_START": sandbox.start,
        "VF_LOST_REASON": "",
    }
    assert {tag["key"]: tag["value"] for tag in request["tags"]} == {
        "vaporforge:stack": "shop-dev",
        "vaporforge:session": "s1",
        "vaporforge:role": "sandbox",
    }
    assert request["networkConfiguration"]["awsvpcConfiguration"] == {
        "subnets": ["subnet-0a", "subnet-0b"],
        "securityGroups": ["sg-01"],
        "assignPublicIp": "DISABLED",
    }
    assert (request["startedBy"], request["launchType"], request["propagateTags"]) == (
        "s1",
        "FARGATE",
        "TASK_DEFINITION",
    )
    assert len(request["clientToken"]) <= 64
    assert token not in request["clientToken"]


async def test_many_at_two_gateways_start_one(cloud: ScriptedEcs, gateway: Callable[..., EcsDriver]) -> None:
    one, other = gateway(), gateway()
    found = await asyncio.gather(*(driver.ensure("s1") for driver in [one, other] * 5))
    assert len(set(found)) == 1
    assert len(cloud.tasks) == 1


async def test_an_answer_that_is_lost_leaves_one_task(
    cloud: ScriptedEcs, gateway: Callable[..., EcsDriver]
) -> None:
    cloud.after = [ReadTimeoutError(endpoint_url="https://ecs"), refusal("ServerException", "oops")]
    cloud.unlisted = {f"arn:aws:ecs:eu-west-1:123456789012:task/stack/{0:032x}"}
    assert (await gateway().ensure("s1")).state is RUNNING
    assert len(cloud.requests) == 3
    assert len(cloud.tasks) == 1


async def test_a_restarted_gateway_finds_it(cloud: ScriptedEcs, gateway: Callable[..., EcsDriver]) -> None:
    before = await gateway().ensure("s1")
    after = gateway()
    assert await after.status("s1") == before
    assert [sandbox.url for sandbox in await after.list()] == [before.url]
    assert await after.ensure("s1") == before
    assert len(cloud.requests) == 1


async def test_of_two_the_oldest_stays(cloud: ScriptedEcs, gateway: Callable[..., EcsDriver]) -> None:
    await gateway().ensure("s1")
    cloud.start(cloud.requests[0])
    first, second = cloud.live()
    await asyncio.gather(gateway().list(), gateway().ensure("s1"), gateway().status("s1"))
    assert cloud.live() == [first]
    assert cloud.tasks[second]["stoppedReason"].startswith("vaporforge:")
    assert (await gateway().status("s1")).state is RUNNING


async def test_one_that_was_started_beside_ours_wins_when_it_is_older(
    cloud: ScriptedEcs, gateway: Callable[..., EcsDriver]
) -> None:
    """Another gateway's task that ECS does not list before ours runs."""
    driver = gateway()
    await driver.ensure("other")
    older = cloud.start({**cloud.requests[0], "startedBy": "s1", "tags": _tags("s1")})
    cloud.unlisted = {older}
    run_task = cloud.run_task

    def run_then_list(**request: Any) -> dict[str, Any]:
        cloud.unlisted = set()
        return run_task(**request)

    cloud.run_task = run_then_list  # type: ignore[method-assign]
    await driver.ensure("s1")
    assert [arn for arn in cloud.live() if cloud.tasks[arn]["startedBy"] == "s1"] == [older]


def _tags(session: str) -> list[dict[str, str]]:
    return [{"key": "vaporforge:stack", "value": "shop-dev"}, {"key": "vaporforge:session", "value": session}]


@pytest.mark.parametrize(
    "said",
    ["ThrottlingException: Rate exceeded", "InvalidParameterException: Error: Request limit exceeded."],
)
async def test_throttled_is_asked_again(
    cloud: ScriptedEcs, gateway: Callable[..., EcsDriver], said: str
) -> None:
    code, _, message = said.partition(": ")
    cloud.script = [refusal(code, message), refusal(code, message)]
    assert (await gateway().ensure("s1")).state is RUNNING
    assert len({request["clientToken"] for request in cloud.requests}) == 1
    assert len(cloud.requests) == 3


async def test_no_room_is_looked_for_elsewhere(cloud: ScriptedEcs, gateway: Callable[..., EcsDriver]) -> None:
    cloud.script = [NO_ROOM, "RESOURCE:ENI", refusal("ClientException", NO_ROOM), NO_ROOM]
    assert (await gateway(ecs_spot=True).ensure("s1")).state is RUNNING
    tried = [
        (
            "launchType" in request,
            request["networkConfiguration"]["awsvpcConfiguration"]["subnets"],
        )
        for request in cloud.requests
    ]
    assert tried == [
        (False, ["subnet-0a", "subnet-0b"]),
        (True, ["subnet-0a", "subnet-0b"]),
        (True, ["subnet-0a"]),
        (True, ["subnet-0b"]),
        (False, ["subnet-0a", "subnet-0b"]),  # and from the beginning
    ]
    assert cloud.requests[0]["capacityProviderStrategy"] == [
        {"capacityProvider": "FARGATE_SPOT", "weight": 1}
    ]
    assert len({request["clientToken"] for request in cloud.requests}) == 4


async def test_no_room_anywhere_is_said_in_time(
    cloud: ScriptedEcs, gateway: Callable[..., EcsDriver]
) -> None:
    cloud.script = [NO_ROOM] * 10_000
    with pytest.raises(errors.SandboxUnavailable, match="no room") as caught:
        await gateway(start_seconds=0.1).ensure("s1")
    assert not isinstance(caught.value, errors.SandboxUnstartable)


@pytest.mark.parametrize(
    ("outcome", "said"),
    [
        ("You\u2019ve reached the limit on the number of vCPUs you can run concurrently", "quota"),
        (refusal("ClientException", "You've reached the limit on the number of tasks you can run"), "quota"),
        (refusal("AccessDeniedException", "not authorized to perform: ecs:RunTask"), "not authorized"),
        (refusal("ClusterNotFoundException", "Cluster not found."), "Cluster not found"),
    ],
)
async def test_what_waiting_does_not_help_is_said_at_once(
    cloud: ScriptedEcs, gateway: Callable[..., EcsDriver], outcome: Any, said: str
) -> None:
    cloud.script = [outcome]
    with pytest.raises(errors.SandboxUnstartable, match=said):
        await gateway().ensure("s1")
    assert len(cloud.requests) == 1


async def test_an_image_that_is_not_there_is_said_at_once(
    cloud: ScriptedEcs, gateway: Callable[..., EcsDriver]
) -> None:
    cloud.life = ("PROVISIONING", "PENDING", "STUCK")
    task = asyncio.create_task(gateway().ensure("s1"))
    while not cloud.live() or cloud.tasks[cloud.live()[0]]["lastStatus"] != "STUCK":
        await asyncio.sleep(0.001)
    why = (
        "CannotPullContainerError: pull image manifest has been retried 1 time(s): agent@sha256:12: not found"
    )
    cloud.end(cloud.live()[0], "TaskFailedToStart", why)
    with pytest.raises(errors.SandboxUnstartable, match="CannotPullContainerError"):
        await task
    assert len(cloud.tasks) == 1


async def test_one_that_ends_while_it_starts_is_tried_three_times(
    cloud: ScriptedEcs, gateway: Callable[..., EcsDriver]
) -> None:
    cloud.life = ("PENDING", "STOPPED")
    with pytest.raises(errors.SandboxUnavailable, match="session s1 ended while it started"):
        await gateway().ensure("s1")
    assert len(cloud.tasks) == 3


async def test_one_that_is_not_started_in_time_goes_on_starting(
    cloud: ScriptedEcs, gateway: Callable[..., EcsDriver]
) -> None:
    cloud.life = ("PROVISIONING", "PENDING")
    driver = gateway(start_seconds=0.1)
    with pytest.raises(errors.SandboxUnavailable, match=r"not started within 0\.1 s"):
        await driver.ensure("s1")
    assert (await driver.status("s1")).state is STARTING
    cloud.life = ("PROVISIONING", "PENDING", "RUNNING")
    assert (await driver.ensure("s1")).state is RUNNING
    assert len(cloud.tasks) == 1


async def test_a_gateway_with_other_settings_takes_the_task_that_there_is(
    cloud: ScriptedEcs, gateway: Callable[..., EcsDriver]
) -> None:
    """In an update: the same client token, and another revision of the task definition."""
    before = await gateway().ensure("s1")
    cloud.unlisted = set(cloud.tasks)
    after = await gateway(ecs_task_definition=SETTINGS.ecs_task_definition.replace(":7", ":8")).ensure("s1")
    assert after == before
    assert len(cloud.tasks) == 1


async def test_ended_ones_are_walked_past_when_they_are_not_listed(
    cloud: ScriptedEcs, gateway: Callable[..., EcsDriver]
) -> None:
    """As ListTasks's reference has it: `startedBy` is the only filter. Their tokens tell of them."""
    cloud.lists_stopped = False
    for count, reason in enumerate(("", "oom", "oom")):
        sandbox = await gateway().ensure("s1")
        assert sandbox.lost_before == reason
        assert len(cloud.tasks) == count + 1
        cloud.end(cloud.live()[0], "EssentialContainerExited", "", reason="OutOfMemoryError: killed")
        cloud.age(3600)
    assert (await gateway().status("s1")).state is ABSENT


async def test_stop_returns_when_nothing_runs_and_may_be_asked_twice(
    cloud: ScriptedEcs, gateway: Callable[..., EcsDriver]
) -> None:
    driver = gateway()
    await driver.ensure("s1")
    await driver.stop("s1")
    (task,) = cloud.tasks.values()
    assert task["lastStatus"] == "DEPROVISIONING"
    await driver.stop("s1")
    assert cloud.calls["StopTask"] == 1
    stopped = await gateway().status("s1")
    assert (stopped.state, stopped.lost_reason) == (STOPPED, "")
    assert await driver.list() == []
    woken = await driver.ensure("s1")
    assert (woken.lost_before, len(cloud.tasks)) == ("", 2)


async def test_a_deleted_one_is_absent(cloud: ScriptedEcs, gateway: Callable[..., EcsDriver]) -> None:
    driver = gateway()
    await driver.ensure("s1")
    await driver.delete("s1")
    await driver.delete("s1")
    assert (await driver.status("s1")).state is ABSENT
    assert (await gateway().status("s1")).state is ABSENT
    assert cloud.live() == []


async def test_a_task_that_ecs_has_forgotten_is_not_waited_for_though_its_token_is_known(
    cloud: ScriptedEcs, gateway: Callable[..., EcsDriver]
) -> None:
    cloud.clock -= 7200
    await gateway().ensure("s1")
    cloud.tasks.clear()
    cloud.clock += 7200
    sandbox = await gateway(start_seconds=2.0).ensure("s1")
    assert sandbox.state is RUNNING
    assert len({request["clientToken"] for request in cloud.requests}) == 2


async def test_an_error_that_nobody_foresaw_is_no_cancellation_of_who_asked(
    cloud: ScriptedEcs, gateway: Callable[..., EcsDriver], monkeypatch: pytest.MonkeyPatch
) -> None:
    driver = gateway()
    await driver.ensure("s1")

    def odd(**_: object) -> dict[str, object]:
        raise RuntimeError("odd")

    monkeypatch.setattr(cloud, "describe_tasks", odd)
    with pytest.raises(RuntimeError, match="odd"):
        await driver.status("s1")


async def test_one_that_ecs_has_forgotten_is_absent(
    cloud: ScriptedEcs, gateway: Callable[..., EcsDriver]
) -> None:
    driver = gateway()
    await driver.ensure("s1")
    cloud.tasks.clear()
    assert (await driver.status("s1")).state is ABSENT
    await driver.stop("s1")
    await driver.delete("s1")


async def test_one_that_another_gateway_has_stopped_just_now_is_stopped(
    cloud: ScriptedEcs, gateway: Callable[..., EcsDriver]
) -> None:
    """Its tags are gone, and with them the permission."""
    await gateway().ensure("s1")
    cloud.start(cloud.requests[0])
    stop_task = cloud.stop_task

    def late(**request: Any) -> dict[str, Any]:
        stop_task(**request)
        raise refusal("AccessDeniedException", "not authorized to perform: ecs:StopTask")

    cloud.stop_task = late  # type: ignore[method-assign]
    await gateway().list()
    assert len(cloud.live()) == 1
    await gateway().stop("s1")
    assert cloud.live() == []


async def test_one_that_may_not_be_stopped_is_said(
    cloud: ScriptedEcs, gateway: Callable[..., EcsDriver]
) -> None:
    def refused(**request: Any) -> dict[str, Any]:
        raise refusal("AccessDeniedException", "not authorized to perform: ecs:StopTask")

    await gateway().ensure("s1")
    cloud.stop_task = refused  # type: ignore[method-assign]
    for call in (gateway().stop, gateway().delete):
        with pytest.raises(errors.SandboxUnavailable, match="StopTask"):
            await call("s1")


async def test_one_that_does_not_end_is_said(
    cloud: ScriptedEcs, gateway: Callable[..., EcsDriver], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ecs, "STOP_SECONDS", 0.05)
    monkeypatch.setattr(cloud, "_advance", lambda task: None)
    cloud.life = ("RUNNING",)
    cloud.start(_request("s1"))
    with pytest.raises(errors.SandboxUnavailable, match="had not ended"):
        await gateway().stop("s1")
    await gateway().delete("s1")  # waits for nothing


def _request(session: str) -> dict[str, Any]:
    environment = [{"name": "VF_SESSION", "value": session}, {"name": "VF_LOST_REASON", "value": ""}]
    return {
        "taskDefinition": SETTINGS.ecs_task_definition,
        "startedBy": session,
        "tags": _tags(session),
        "overrides": {"containerOverrides": [{"name": "sandbox", "environment": environment}]},
    }


async def test_a_list_has_all_pages_of_its_own_stack(
    cloud: ScriptedEcs, gateway: Callable[..., EcsDriver]
) -> None:
    for number in range(250):
        cloud.start(_request(f"s{number}"))
    foreign = cloud.start(_request("foreign"))
    cloud.tasks[foreign]["tags"][0] = {"key": "vaporforge:stack", "value": "another"}
    assert {sandbox.session for sandbox in await gateway().list()} == {f"s{number}" for number in range(250)}
    assert (cloud.calls["ListTasks"], cloud.calls["DescribeTasks"]) == (3, 3)


async def test_a_crowd_is_looked_at_by_the_hundred(
    cloud: ScriptedEcs, gateway: Callable[..., EcsDriver]
) -> None:
    driver = gateway()
    for number in range(150):
        cloud.start(_request(f"s{number}"))
        await driver.status(f"s{number}")
    cloud.calls.clear()
    found = await asyncio.gather(*(driver.status(f"s{number}") for number in range(150)))
    assert len({sandbox.session for sandbox in found}) == 150
    assert cloud.calls == {"DescribeTasks": 2}


async def test_a_start_tells_what_it_is_at(cloud: ScriptedEcs, gateway: Callable[..., EcsDriver]) -> None:
    driver = gateway()
    assert phase_of(driver, "s1") == ""
    task = asyncio.create_task(driver.ensure("s1"))
    told = []
    while not task.done():
        told.append(phase_of(driver, "s1"))
        await asyncio.sleep(0)
    await task
    assert list(dict.fromkeys(filter(None, told))) == ["sandbox-placing", "sandbox-pulling", "agent-starting"]
    assert phase_of(driver, "s1") == ""


async def test_ecs_that_is_away_is_an_error_of_ours(
    cloud: ScriptedEcs, gateway: Callable[..., EcsDriver]
) -> None:
    def away(**request: Any) -> dict[str, Any]:
        raise ReadTimeoutError(endpoint_url="https://ecs")

    cloud.list_tasks = away  # type: ignore[method-assign]
    driver = gateway()
    for call in (driver.ensure, driver.status, driver.stop, driver.delete):
        with pytest.raises(errors.SandboxUnavailable, match="ReadTimeoutError"):
            await call("s1")
    with pytest.raises(errors.SandboxUnavailable):
        await driver.list()
