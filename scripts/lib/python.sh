# shellcheck shell=bash
# .venv with exactly what requirements.txt locks: by uv where it is, else by venv and pip.

setup_python() {
  local venv=$VF_ROOT/.venv lock=$VF_ROOT/requirements.txt stamp
  stamp=$(hash_of "$lock")
  if [ -x "$venv/bin/python" ] && [ "$(cat "$venv/vaporforge-lock" 2>/dev/null)" = "$stamp" ]; then return; fi
  log "python: installing the locked packages"
  if have uv; then
    [ -x "$venv/bin/python" ] || uv venv --quiet --python ">=$PYTHON_MIN" "$venv"
    uv pip sync --quiet --require-hashes --python "$venv/bin/python" "$lock"
  else
    [ -x "$venv/bin/python" ] || python_venv "$venv"
    "$venv/bin/python" -m pip install -qq --require-hashes --disable-pip-version-check -r "$lock"
  fi
  printf '%s' "$stamp" >"$venv/vaporforge-lock"
}

python_venv() {
  local found
  found=$(python_find) || {
    apt_install python3 python3-venv
    found=$(python_find) || die "no Python >= $PYTHON_MIN on PATH"
  }
  "$found" -c 'import ensurepip, venv' 2>/dev/null || apt_install python3-venv
  "$found" -m venv "$1"
}

python_find() {
  local name
  for name in python3 python3.14 python3.13 python3.12 python3.11; do
    "$name" -c "import sys; sys.exit(sys.version_info < (${PYTHON_MIN/./, }))" 2>/dev/null || continue
    command -v "$name"
    return
  done
  return 1
}
