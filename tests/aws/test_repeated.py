"""What becomes of a stand-in's steps that fail, and of who waits for them."""

from __future__ import annotations

import contextlib
import itertools
import threading
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from tests.aws.cloud.inventory import REGION
from tests.aws.cloud.repeated import Repeated
from tests.aws.cloud.served import served
from tests.aws.cloud.services import StandInServices
from tests.aws.cloud.whole import StandInFront


def gone() -> ClientError:
    answer: Any = {"Error": {"Code": "TargetGroupNotFound"}, "ResponseMetadata": {"HTTPStatusCode": 400}}
    return ClientError(answer, "DescribeTargetHealth")


@pytest.mark.parametrize("error", [ConnectionResetError(), TimeoutError(), gone()], ids=repr)
def test_a_step_is_done_again_after_what_passes(error: Exception) -> None:
    calls, done = itertools.count(), threading.Event()

    def step() -> None:
        if next(calls) == 0:
            raise error
        done.set()

    with Repeated(step, "steps") as steps:
        assert done.wait(30)
        steps.check()


def test_what_does_not_pass_in_time_ends_the_steps() -> None:
    def step() -> None:
        raise ConnectionResetError

    with (
        pytest.raises(RuntimeError, match="ended: ConnectionResetError"),
        Repeated(step, "steps", 0) as steps,
    ):
        steps._thread.join(30)


def test_any_other_error_is_told_to_who_waits_and_where_the_block_has_failed() -> None:
    def step() -> None:
        raise KeyError("address")

    def wait_in_vain() -> None:
        with Repeated(step, "steps") as steps:
            steps._thread.join(30)
            with pytest.raises(RuntimeError, match="KeyError"):
                steps.check()
            raise AssertionError("no gateway has come")

    with pytest.raises(RuntimeError, match="steps has ended") as raised:
        wait_in_vain()
    assert isinstance(raised.value.__cause__, KeyError)
    assert isinstance(raised.value.__context__, AssertionError)


def test_who_asks_for_services_whose_steps_have_ended_is_told_why() -> None:
    def check() -> None:
        raise RuntimeError("steps has ended")

    nothing: Any = None
    front = StandInFront("http://never.example", StandInServices(nothing, nothing, nothing), check)
    session: Any = boto3.session.Session("test", "test", region_name=REGION)
    with (
        served(front.app()) as url,
        contextlib.closing(session.client("ecs", endpoint_url=url)) as ecs,
        pytest.raises(ClientError, match="steps has ended"),
    ):
        ecs.describe_services(cluster="one", services=["two"])
