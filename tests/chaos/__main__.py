"""`scripts/chaos`: break a VaporForge in every way for a while, then check that nothing was lost."""

from __future__ import annotations

import argparse
import asyncio
import logging
import secrets
import signal
import sys
import tempfile
from collections.abc import Iterable, Mapping
from contextlib import AsyncExitStack
from pathlib import Path

from infra.cli.terminal import visible
from tests.chaos.campaign import SETTINGS as CAMPAIGN_SETTINGS
from tests.chaos.campaign import Campaign, Order
from tests.chaos.processes import Processes
from tests.chaos.reader import client
from tests.chaos.report import campaign_lines
from tests.chaos.soak import SETTINGS as SOAK_SETTINGS
from tests.chaos.soak import Soak
from tests.chaos.stack import DockerStack, StackError
from tests.chaos.storm import SETTINGS as STORM_SETTINGS
from tests.chaos.storm import Storm
from tests.chaos.target import Target

log = logging.getLogger("tests.chaos")

EPILOG = """\
Without --stack everything happens on this machine's loopback: two gateways, sandboxes as processes with the demo agent,
and DynamoDB Local behind a proxy that throttles it, fails, is slow and loses answers. With --stack a deployed docker
stack is broken through the Docker engine: do that where nobody is at work. With --cloud two gateways have the settings
of the aws target, and a stand-in for AWS, in a container, starts their sandboxes as tasks.

The same seed gives the same schedule. The exit status is 0 when every promise was kept, 1 when not, 130 after Ctrl-C;
whatever this command started it has ended by then. docs/reliability.md says what the rows mean.
"""


def main() -> int:
    """Run what was asked for and print its table; 0 when the promise was kept."""
    parser = _parser()
    options = parser.parse_args()
    if options.keep and options.keep.exists() and any(options.keep.iterdir()):
        parser.error(f"--keep: {options.keep} is not empty")
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(message)s", stream=sys.stderr)
    logging.getLogger("tests.chaos").setLevel(logging.INFO)
    logging.getLogger("aiohttp.server").setLevel(
        logging.CRITICAL
    )  # the store's proxy: its clients are killed
    with tempfile.TemporaryDirectory(prefix="vf-chaos-", ignore_cleanup_errors=True) as scratch:
        folder: Path = options.keep or Path(scratch)
        folder.mkdir(parents=True, exist_ok=True)
        try:
            lines, faultless = asyncio.run(_until_told(options, folder))
        except (KeyboardInterrupt, asyncio.CancelledError):
            sys.stderr.write("stopped; everything that was started has been ended\n")
            return 130
        except (StackError, ExceptionGroup) as error:
            sys.stderr.write(f"error: {visible(_reason(error))}\n")
            return 2
    print(visible("\n".join(lines)))  # histories hold what agents wrote
    return 0 if faultless else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="scripts/chaos",
        description=__doc__,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--seed", type=int, default=secrets.randbelow(2**31), metavar="N", help="repeats a schedule")
    what = parser.add_argument_group("a campaign")
    add = what.add_argument
    add("--runs", type=int, default=200, metavar="N", help="at least this many runs (%(default)s)")
    add("--cuts", type=int, default=1000, metavar="N", help="torn connections (%(default)s)")
    add("--faults", type=int, default=100, metavar="N", help="faults of other kinds (%(default)s)")
    add("--sessions", type=int, default=8, metavar="N", help="sessions at work at a time (%(default)s)")
    add("--seconds", type=float, default=3600, metavar="N", help="give up after (%(default)s)")
    where = what.add_mutually_exclusive_group().add_argument
    where("--stack", metavar="NAME", help="break this deployed docker stack, not one made for the purpose")
    where(
        "--cloud", action="store_true", help="gateways with the aws target's settings, on a stand-in for AWS"
    )
    add("--url", default="", help="the stack's entry (default: its proxy's published port)")
    add("--token-file", type=Path, metavar="FILE", help="holds a user's token (default: asks scripts/token)")
    add("--keep", type=Path, metavar="DIR", help="keep logs and sandboxes in this new folder")
    other = parser.add_argument_group("instead of a campaign")
    add = other.add_mutually_exclusive_group().add_argument
    add(
        "--storm",
        type=_count,
        metavar="N",
        help="N live readers on one gateway, which is killed: figures (on this machine)",
    )
    add(
        "--soak",
        type=_count,
        metavar="N",
        help="N sessions in fast motion: nothing may grow (a stack wants idleMinutes=1)",
    )
    return parser


async def _until_told(options: argparse.Namespace, folder: Path) -> tuple[Iterable[str], bool]:
    """SIGTERM ends it as Ctrl-C does."""
    work = _storm if options.storm else _soak if options.soak else _campaign
    task = asyncio.ensure_future(work(options, folder))

    def end() -> None:
        log.warning("told to end")
        task.cancel()

    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, end)
    return await task


async def _storm(options: argparse.Namespace, folder: Path) -> tuple[Iterable[str], bool]:
    keep = options.keep is not None
    async with (
        Processes(folder, options.seed, settings=STORM_SETTINGS, keep=keep) as target,
        client() as http,
    ):
        storm = Storm(target, http, options.storm)
        await storm.run()
    return list(storm.lines(options.seed)), storm.verdict.faultless


async def _soak(options: argparse.Namespace, folder: Path) -> tuple[Iterable[str], bool]:
    async with AsyncExitStack() as exits:
        target, _ = await _target(options, folder, exits, SOAK_SETTINGS)
        http = await exits.enter_async_context(client())
        soak = Soak(target, http, sessions=options.soak, at_once=options.sessions, seed=options.seed)
        await soak.run()
    return list(soak.lines()), soak.verdict.faultless


async def _target(
    options: argparse.Namespace, folder: Path, exits: AsyncExitStack, settings: Mapping[str, str]
) -> tuple[Target, str]:
    """What is to be broken, and its name: the stack that was named, or one with these settings."""
    if options.stack:
        jwt = options.token_file.read_text().strip() if options.token_file else ""
        stack = DockerStack(options.stack, options.seed, base=options.url, jwt=jwt)
        return await exits.enter_async_context(stack), f"stack {options.stack}"
    if options.cloud:
        from tests.chaos.cloud import CloudStack  # Pulumi with it, which takes seconds

        cloud = CloudStack(folder, options.seed, settings=settings)
        return await exits.enter_async_context(cloud), "two gateways on the aws target's settings"
    keep = options.keep is not None
    processes = Processes(folder, options.seed, settings=settings, keep=keep)
    return await exits.enter_async_context(processes), "two gateways as processes"


def _reason(error: Exception) -> str:
    """What stopped the work, where several tasks worked side by side; raised again when it is not for users."""
    while isinstance(error, ExceptionGroup):
        (error, *_) = error.exceptions
    if not isinstance(error, StackError | TimeoutError):
        raise error
    return str(error)


def _count(text: str) -> int:
    count = int(text)
    if count < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return count


async def _campaign(options: argparse.Namespace, folder: Path) -> tuple[Iterable[str], bool]:
    order = Order(
        seed=options.seed,
        runs=options.runs,
        cuts=options.cuts,
        faults=options.faults,
        sessions=options.sessions,
        seconds=options.seconds,
    )
    async with AsyncExitStack() as exits:
        target, where = await _target(options, folder, exits, CAMPAIGN_SETTINGS)
        campaign = Campaign(target, order, await exits.enter_async_context(client()))
        await campaign.run()
    return list(campaign_lines(order, campaign, where, target.notes)), campaign.verdict.faultless


if __name__ == "__main__":
    sys.exit(main())
