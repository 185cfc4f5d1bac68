# shellcheck shell=bash
# .venv with what deploying needs, a fifteenth of what tests do; a .venv for tests, or for AWS, has it too.
# shellcheck source=scripts/lib/packages.sh
. "$VF_ROOT/scripts/lib/packages.sh"

setup_infra() { packages_locked requirements.txt || packages_locked infra/requirements-aws.txt || packages_locked infra/requirements.txt || packages_install infra/requirements.txt; }
