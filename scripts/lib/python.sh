# shellcheck shell=bash
# .venv with all that is locked: tests, checks and a gateway without Docker need it.
# shellcheck source=scripts/lib/packages.sh
. "$VF_ROOT/scripts/lib/packages.sh"

setup_python() { packages_locked requirements.txt || packages_install requirements.txt; }
