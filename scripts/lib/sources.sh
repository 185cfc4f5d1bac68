# shellcheck shell=bash
# Which files are ours, by language: what scripts/check and tests/test_tooling.py look at.

# Python commands without a suffix, which ruff and mypy do not find by themselves.
python_commands() {
  local file
  for file in "$VF_ROOT"/scripts/*; do
    [ -f "$file" ] && [[ $file != *.* ]] && IFS= read -r line <"$file" && [[ $line == '#!'*python* ]] && printf '%s\n' "$file"
  done
  return 0
}

shell_files() {
  local file
  for file in "$VF_ROOT"/{scripts/*,scripts/lib/*.sh,.ci/run,container/*,infra/proxy/*,infra/egress/*,infra/plugin/*,infra/plugin/stack/*,tests/aws/plugin/*}; do
    [ -f "$file" ] || continue
    if [[ $file == *.sh ]] || { IFS= read -r line <"$file" && [[ $line == '#!'*sh ]]; }; then printf '%s\n' "$file"; fi
  done
}
