"""`scripts/scale`: what breaks first when many people work at once, and at what figure."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from tests.scale.figure import svg
from tests.scale.plan import SETTINGS, Plan
from tests.scale.report import report

MOST_USERS = 1_000_000_000
MOST_SESSIONS = 1_000_000
"""More takes a simulation minutes, and tells nothing new."""

EPILOG = """\
The same seed prints the same tables. What is assumed of people and what was measured of gateways stands, with its
sources, in tests/scale/plan.py; docs/scale.md says what the tables mean.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the tables, and write the figure where that is asked for."""
    parser = argparse.ArgumentParser(
        prog="scripts/scale",
        description=__doc__,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    whole = Plan()
    parser.add_argument(
        "--seed", type=int, default=1, metavar="N", help="of what is left to chance (%(default)s)"
    )
    parser.add_argument("--users", type=int, default=whole.users, metavar="N", help="people (%(default)s)")
    parser.add_argument(
        "--sessions", type=int, default=whole.sessions, metavar="N", help="live at once (%(default)s)"
    )
    parser.add_argument("--figure", type=Path, metavar="FILE", help="write the figure there, as an SVG")
    options = parser.parse_args(arguments)
    if not 0 <= options.seed < 2**31:
        parser.error(f"--seed is {options.seed}; it must be 0 to {2**31 - 1}")
    if not 1 <= options.users <= MOST_USERS:
        parser.error(f"--users is {options.users}; it must be 1 to {MOST_USERS}")
    if not 500 <= options.sessions <= MOST_SESSIONS:
        parser.error(f"--sessions is {options.sessions}; it must be 500 to {MOST_SESSIONS}")
    each = SETTINGS.sandboxes_per_user
    if options.sessions > options.users * each:
        parser.error(
            f"--sessions is {options.sessions}; {options.users} users may have {options.users * each} live at once"
            f" ({each} each): raise --users"
        )
    if options.figure and not options.figure.parent.is_dir():
        parser.error(f"--figure: there is no folder {options.figure.parent}")
    found = report(Plan(users=options.users, sessions=options.sessions), options.seed)
    print(found.text, end="")
    if options.figure:
        options.figure.write_text(svg(found.bars, options.sessions), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
