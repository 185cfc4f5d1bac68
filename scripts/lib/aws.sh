# shellcheck shell=bash
# .venv with what deploying to AWS needs: what any deployment does, and pulumi-aws.
# shellcheck source=scripts/lib/packages.sh
. "$VF_ROOT/scripts/lib/packages.sh"

setup_aws() { packages_locked requirements.txt || packages_locked infra/requirements-aws.txt || packages_install infra/requirements-aws.txt; }
