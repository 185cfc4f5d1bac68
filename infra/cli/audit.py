"""`scripts/audit`: verifies or exports the audit of a deployed stack, by one of its gateways."""

from __future__ import annotations

import os
import subprocess
import sys

from infra.cli.arguments import parser, run
from infra.cli.errors import CliError
from infra.cli.stack import Deployment
from infra.cli.token import default_subject, make_token

HOURS = 1.0
"""How long the token is good with which it is read."""


def main() -> None:
    """Start `python -m gateway.audit`, whose exit status is this one's: 0 whole, 1 not, 2 not read."""
    options = parser(
        "audit",
        "Verify or export who did what. Other options are handed on: see `python -m gateway.audit -h`.",
    )
    options.add_argument("action", choices=("verify", "export"))
    options.add_argument(
        "--sub", default=default_subject(), metavar="USER", help="one of the stack's admins (you)"
    )
    chosen, others = options.parse_known_args()
    environ = dict(os.environ)
    if not any(not other.startswith("-") and os.path.exists(other) for other in others):  # noqa: PTH110
        outputs = _outputs(chosen.stack)
        others = ["--url", str(outputs["url"]), *others]
        environ["VF_AUDIT_TOKEN"] = make_token(outputs, chosen.sub, HOURS)
    command = [sys.executable, "-m", "gateway.audit", chosen.action, *others]
    sys.exit(subprocess.run(command, env=environ, check=False).returncode)


def _outputs(stack: str) -> dict[str, object]:
    deployment = Deployment.of_machine(stack, plugin=False)
    outputs = deployment.outputs() if deployment.exists() else {}
    if not outputs.get("url"):
        raise CliError(f"the stack {stack} is not deployed; scripts/up --stack {stack} does it")
    return outputs


if __name__ == "__main__":
    run(main)
