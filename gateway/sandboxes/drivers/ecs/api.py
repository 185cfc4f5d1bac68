"""The ECS API: boto3 blocks in bounded threads here and nowhere else, and its errors become ours."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Final, TypeVar

from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from gateway.sandboxes.drivers.ecs.request import family
from gateway.sandboxes.drivers.ecs.task import Task, task_of
from gateway.sandboxes.drivers.ecs.troubles import Refused, Trouble, trouble_of
from gateway.store.blobs.aws import make_client

if TYPE_CHECKING:
    from gateway.config import Settings

log = logging.getLogger(__name__)
R = TypeVar("R")

THREADS: Final = 16
"""Requests under way at once; more wait."""

ATTEMPTS: Final = 3
"""Of a request, by botocore, with its pauses: each may be repeated, RunTask because of its client token."""

PAGE: Final = 100
"""Most tasks of one ListTasks or DescribeTasks (documented)."""


class EcsApi:
    """The tasks of one cluster. Every method raises `Refused`."""

    def __init__(self, settings: Settings, connect: Callable[[], Any] | None = None) -> None:
        """`connect`: makes the boto3 client, in place of the one that the settings name."""
        self._settings = settings
        self._cluster = settings.ecs_cluster
        self._family = family(settings.ecs_task_definition)
        self._connect = connect or (lambda: _client(settings))
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="ecs")
        self._connecting = asyncio.Lock()
        self._client: Any = None
        self._asked: dict[str, asyncio.Future[Task | None]] = {}
        self._describing: set[asyncio.Task[None]] = set()

    async def run(self, request: dict[str, Any]) -> Task:
        """Start one task, or get the one that the same client token started."""
        answer = await self._call("run_task", **request)
        for failure in answer.get("failures") or ():
            said = " ".join(filter(None, (failure.get("reason"), failure.get("detail"))))
            raise Refused(trouble_of("", said), said)
        if not answer.get("tasks"):
            raise Refused(Trouble.AWAY, "RunTask answers with no task and no failure.")
        return task_of(answer["tasks"][0])

    async def stop(self, arn: str, reason: str) -> None:
        """TERM, KILL after the task definition's `stopTimeout`. Success for what another gateway has stopped, or ECS
        has forgotten: a stopped task has no tags, by which alone a gateway may be allowed to stop it."""
        try:
            await self._call("stop_task", cluster=self._cluster, task=arn, reason=reason)
        except Refused:
            task = await self.describe(arn)
            if task is not None and task.live:
                raise

    async def of_session(self, session: str, *, stopped: bool = False) -> Sequence[Task]:
        """The session's tasks that run or are to run; `stopped`: those that are to stop, or have within the hour."""
        wanted = {"startedBy": session, **({"desiredStatus": "STOPPED"} if stopped else {})}
        return await self._listed(wanted)

    async def of_stack(self) -> Sequence[Task]:
        """All of the stack's tasks that run or are to run."""
        return await self._listed({"family": self._family})

    async def describe(self, task: str) -> Task | None:
        """One task by its ARN; None when ECS has forgotten it. A crowd's questions are one request for each hundred:
        a gateway that starts again asks for all its sessions at once, and ECS takes some twenty requests a second."""
        future = self._asked.get(task)
        if future is None:
            future = self._asked[task] = asyncio.get_running_loop().create_future()
            future.add_done_callback(_heard)
            if len(self._asked) == 1:
                work = asyncio.create_task(self._describe_asked(), name="describe tasks")
                self._describing.add(work)
                work.add_done_callback(self._describing.discard)
        return await asyncio.shield(future)

    async def close(self) -> None:
        """Release threads and sockets. May be called twice."""
        for work in list(self._describing):
            work.cancel()
        await asyncio.gather(*self._describing, return_exceptions=True)
        self._threads.shutdown(wait=False, cancel_futures=True)
        if self._client is not None:
            self._client.close()

    async def _describe_asked(self) -> None:
        # Those who ask in this turn of the loop come along.
        await asyncio.sleep(0)
        asked, self._asked = self._asked, {}
        try:
            found = {task.arn: task for task in await self._described(list(asked))}
        except Exception as error:  # noqa: BLE001 - of whatever kind, it is theirs who asked
            for future in asked.values():
                future.set_exception(error)
        else:
            for arn, future in asked.items():
                future.set_result(found.get(arn))
        finally:
            for future in asked.values():
                future.cancel()  # of those that have no answer: the driver is being closed

    async def _listed(self, wanted: dict[str, Any]) -> Sequence[Task]:
        arns: list[str] = []
        request = {"cluster": self._cluster, "maxResults": PAGE, **wanted}
        while True:
            answer = await self._call("list_tasks", **request)
            arns += answer.get("taskArns") or ()
            if not answer.get("nextToken"):
                break
            request["nextToken"] = answer["nextToken"]
        return await self._described(arns)

    async def _described(self, arns: Sequence[str]) -> Sequence[Task]:
        pages = [arns[start : start + PAGE] for start in range(0, len(arns), PAGE)]
        answers = await asyncio.gather(
            *(
                self._call("describe_tasks", cluster=self._cluster, tasks=page, include=["TAGS"])
                for page in pages
            )
        )
        return [task_of(task) for answer in answers for task in answer.get("tasks") or ()]

    async def _call(self, operation: str, **request: Any) -> dict[str, Any]:
        async with self._connecting:
            if self._client is None:
                self._client = await self._offload(self._connect)
        method: Callable[..., dict[str, Any]] = getattr(self._client, operation)
        return await self._offload(lambda: method(**request))

    async def _offload(self, work: Callable[[], R]) -> R:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, work)
        except ClientError as error:
            code = str(error.response["Error"].get("Code", ""))
            said = str(error.response["Error"].get("Message", ""))
            response: Mapping[str, Any] = error.response
            tasks = tuple(response.get("resourceIds") or ())
            raise Refused(trouble_of(code, said), f"{code}: {said}", tasks) from error
        except BotoCoreError as error:
            raise Refused(Trouble.AWAY, f"{type(error).__name__}.") from error


def _client(settings: Settings) -> Any:
    config = Config(
        connect_timeout=3,
        read_timeout=20,
        max_pool_connections=THREADS,
        retries={"total_max_attempts": ATTEMPTS, "mode": "standard"},
        tcp_keepalive=True,
    )
    return make_client("ecs", config, endpoint=settings.ecs_endpoint, region=settings.region)


def _heard(future: asyncio.Future[Task | None]) -> None:
    """Nobody may be left to hear of an error; that is no error of its own."""
    if not future.cancelled():
        future.exception()
