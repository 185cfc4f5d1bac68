"""`scripts/attack`: attack a VaporForge of one's own in every way that once worked, and time a good user's stream."""

from __future__ import annotations

import argparse
import asyncio
import logging
import signal
import sys
import tempfile
from contextlib import AsyncExitStack
from pathlib import Path

import aiohttp

from tests.attack.attack import Size
from tests.attack.campaign import Campaign
from tests.attack.catalogue import INSIDE, OUTSIDE, chosen
from tests.attack.force.limits import open_many_files
from tests.attack.loopback import SETTINGS, Loopback
from tests.attack.report import lines
from tests.attack.scene import AttackError, Scene
from tests.chaos.processes import Processes
from tests.chaos.reader import client
from tests.chaos.stack import StackError

log = logging.getLogger("tests.attack")

EPILOG = """\
Without --stack everything happens on this machine's loopback: two gateways, DynamoDB Local and sandboxes as processes,
made for the purpose. With --stack a deployed docker stack on this machine's engine is attacked, its published port too:
do that where nobody is at work. Nothing else can be named: no address, no host, no remote engine.

`inside` tries the walls of a deployed stack's sandboxes from within one, with the agent's rights and with those of an
agent server that has been replaced; "seen" says what could be done: nothing, where they hold.

Every attack is bounded in count and time; what it is made of has ended when this command ends, after Ctrl-C too. A row
holds when good users noticed nothing (p99 of the gaps between their frames at most twice the control's, no gap above
1 s, no health check failed, no lease lost, memory flat afterwards, new people answered) and the attacker was refused.
The exit status is 0 when every row held, 1 when not, 2 when it could not be tried, 130 after Ctrl-C.
docs/security.md says what the rows mean.
"""


def main() -> int:
    """Make the attacks and print their table."""
    options = _parser().parse_args()
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(message)s", stream=sys.stderr)
    logging.getLogger("tests.attack").setLevel(logging.INFO)
    open_many_files()
    with tempfile.TemporaryDirectory(prefix="vf-attack-", ignore_cleanup_errors=True) as scratch:
        folder: Path = options.keep or Path(scratch)
        folder.mkdir(parents=True, exist_ok=True)
        try:
            held = asyncio.run(_until_told(options, folder))
        except (KeyboardInterrupt, asyncio.CancelledError):
            sys.stderr.write("stopped; everything that was started has been ended\n")
            return 130
        except (StackError, AttackError) as error:
            sys.stderr.write(f"error: {error}\n")
            return 2
    return 0 if held else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="scripts/attack",
        description=__doc__,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("side", nargs="?", choices=("outside", "inside"), default="outside", help="where from (%(default)s)")
    add("--stack", metavar="NAME", help="attack this deployed docker stack, not one made for the purpose")
    add(
        "--only",
        action="append",
        default=[],
        metavar="WORD",
        help="attacks with this in their name; may be repeated",
    )
    add("--list", action="store_true", help="print the attacks' names and make none")
    add("--seconds", type=_seconds, default=4.0, metavar="N", help="how long most of them last (%(default)s)")
    add(
        "--scale",
        type=_scale,
        default=1.0,
        metavar="X",
        help="share of the full counts, up to 1 (%(default)s)",
    )
    add("--markdown", action="store_true", help="the table as Markdown")
    add("--keep", type=Path, metavar="DIR", help="keep the logs in this folder")
    return parser


async def _until_told(options: argparse.Namespace, folder: Path) -> bool:
    """SIGTERM ends it as Ctrl-C does."""
    task = asyncio.ensure_future(_work(options, folder))
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    return await task


async def _work(options: argparse.Namespace, folder: Path) -> bool:
    catalogue = INSIDE if options.side == "inside" else OUTSIDE
    if options.list:
        print("\n".join(attack.full_name for attack in catalogue))
        return True
    if options.side == "inside" and not options.stack:
        raise AttackError(
            "from inside it is a deployed stack's sandboxes that are tried: name it with --stack"
        )
    async with AsyncExitStack() as exits:
        http = await exits.enter_async_context(client())
        scene = await _scene(options, folder, exits, http)
        attacks = chosen(catalogue, options.only, scene.gates)
        if not attacks:
            raise AttackError(f"no attack has {' or '.join(options.only)} in its name; --list has them all")
        campaign = Campaign(scene, attacks, Size(options.scale, options.seconds), http)
        try:
            await campaign.run()
        finally:
            # What was found before somebody lost patience is worth reading too.
            print("\n".join(lines(campaign.rows, campaign.faults, scene.notes, markdown=options.markdown)))
    return campaign.held


async def _scene(
    options: argparse.Namespace, folder: Path, exits: AsyncExitStack, http: aiohttp.ClientSession
) -> Scene:
    if options.stack:
        from tests.attack.deployed import Deployed, attacked_stack

        stack = await exits.enter_async_context(attacked_stack(options.stack))
        return await exits.enter_async_context(Deployed(stack, http))
    processes = Processes(folder, 0, settings=SETTINGS, keep=options.keep is not None)
    return Loopback(await exits.enter_async_context(processes), http, folder)


def _seconds(text: str) -> float:
    seconds = float(text)
    if not 1 <= seconds <= 60:
        raise argparse.ArgumentTypeError("must be 1 to 60")
    return seconds


def _scale(text: str) -> float:
    scale = float(text)
    if not 0 < scale <= 1:
        raise argparse.ArgumentTypeError("must be more than 0, and 1 at most")
    return scale


if __name__ == "__main__":
    sys.exit(main())
