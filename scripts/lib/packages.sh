# shellcheck shell=bash
# .venv with what a lock asks for: by uv, which takes seconds and is brought where it lacks, else by venv and pip.
# .venv/vaporforge-lock names the lock that is installed; requirements.txt has all that the locks in infra/ ask for.

packages_locked() { packages_python "$VF_ROOT/.venv" && [ "$(cat "$VF_ROOT/.venv/vaporforge-lock" 2>/dev/null)" = "$(hash_of "$VF_ROOT/$1")" ]; }

# packages_python FOLDER: whether its Python is the one that packages are installed for; the system may have replaced it.
packages_python() {
  [ -x "$1/bin/python" ] &&
    "$1/bin/python" -Ic 'import os, sys, sysconfig; sys.exit(not os.path.isdir(sysconfig.get_path("purelib")))' 2>/dev/null
}

# packages_install LOCK: one at a time, whichever folders for state the set-ups have.
packages_install() {
  local venv=$VF_ROOT/.venv lock=$VF_ROOT/$1 log=$VF_STATE/python.log again='' folder
  folder=$(dirname "$(readlink -m "$venv")")
  exec 7<"$folder"
  flock -n 7 || {
    log "python: waiting for another set-up of this .venv"
    doing "waiting for another set-up of this .venv"
    flock 7
  }
  if packages_locked "$1"; then exec 7<&-; return; fi
  # What an interrupted installation left looks complete to uv and pip.
  [ "$(cat "$venv/vaporforge-lock" 2>/dev/null)" != installing ] || again=yes
  [ ! -d "$venv" ] || printf installing >"$venv/vaporforge-lock"
  uv_bring || log "python: no uv ($(tail -n 1 "$VF_STATE/uv.log" | head -c 160)); pip does the same, in a minute or two"
  doing "installing the packages of $1" packages_far "$lock"
  if [ -z "$UV" ] || ! packages_by_uv "$venv" "$lock" "$again" >"$log" 2>&1; then
    [ -z "$UV" ] || log "python: uv failed (log: $log): $(tail -n 1 "$log" | head -c 160); pip does the same, in a minute or two"
    packages_by_pip "$venv" "$lock" "$again" >"$log" 2>&1 || {
      tail -n 20 "$log" >&2
      die "the packages of $1 could not be installed (log: $log); the next set-up begins anew"
    }
  fi
  hash_of "$lock" >"$venv/vaporforge-lock"
  exec 7<&-
}

# These two are called where errexit is off: every step is joined to the next.
packages_by_uv() {
  local command=sync again=(${3:+--reinstall})
  # A deployment only adds: what tests need, of an earlier lock, may be in use.
  [ "$2" = "$VF_ROOT/requirements.txt" ] || command=install
  [ -z "${PIP_INDEX_URL:-}" ] || export UV_DEFAULT_INDEX=${UV_DEFAULT_INDEX:-$PIP_INDEX_URL}
  { packages_python "$1" || "$UV" venv --clear --python ">=$PYTHON_MIN" "$1"; } &&
    printf installing >"$1/vaporforge-lock" &&
    if [ "$command" = sync ]; then "$UV" pip sync "${again[@]}" --require-hashes --python "$1/bin/python" "$2"
    else "$UV" pip install "${again[@]}" --require-hashes --python "$1/bin/python" -r "$2"; fi
}

packages_by_pip() {
  local again=(${3:+--force-reinstall})
  { packages_python "$1" || python_venv --clear "$1"; } &&
    { "$1/bin/python" -m pip --version >/dev/null 2>&1 || python_venv "$1"; } &&
    printf installing >"$1/vaporforge-lock" &&
    "$1/bin/python" -m pip install "${again[@]}" --require-hashes --disable-pip-version-check --no-input -r "$2"
}

# packages_far LOCK: by what pip says, or by what uv has unpacked since the installation began.
packages_far() {
  local got
  got=$(grep -c '^Collecting ' "$VF_STATE/python.log") ||
    got=$(find "$UV_CACHE_DIR" -mindepth 2 -maxdepth 2 -path '*/archive-*' -newer "$VF_ROOT/.venv/vaporforge-lock" | wc -l)
  printf '%s of about %s packages' "$got" "$(grep -c '^[a-z0-9].*==' "$1")"
}

# Sets UV to a uv that runs: of PATH, or of $VF_CACHE/uv, where it comes from PyPI by scripts/lib/uv-requirements.txt.
uv_bring() {
  local lock=$VF_ROOT/scripts/lib/uv-requirements.txt kept new
  UV=
  if have uv; then UV=uv; return; fi
  kept=$VF_CACHE/uv/$(hash_of "$lock")/uv
  if ! "$kept" --version >/dev/null 2>&1; then
    doing "fetching uv"
    new=$(mktemp -d)
    uv_fetch "$new" "$lock" >"$VF_STATE/uv.log" 2>&1 || { rm -rf "$new"; return 1; }
    # Renamed into place: what is there is whole, also where two fetch it.
    mkdir -p "${kept%/*}"
    cp "$new/bin/uv" "$kept.$$"
    mv "$kept.$$" "$kept"
    rm -rf "$new"
  fi
  UV=$kept
}

# uv_fetch FOLDER LOCK: not for long where there is no way to PyPI. Every step is joined to the next: errexit is off here.
uv_fetch() {
  local pip=(python3 -m pip)
  "${pip[@]}" --version >/dev/null 2>&1 || { python_venv "$1/venv" && pip=("$1/venv/bin/python" -m pip); } || return
  timeout 300 "${pip[@]}" install --target "$1" --require-hashes --only-binary :all: --disable-pip-version-check --no-input \
    --retries 1 --timeout 15 -r "$2" && "$1/bin/uv" --version
}

# python_venv [--clear] FOLDER
python_venv() {
  local found
  found=$(python_find) || {
    apt_install python3 python3-venv
    found=$(python_find) || die "no Python >= $PYTHON_MIN on PATH"
  }
  "$found" -c 'import ensurepip, venv' 2>/dev/null || apt_install python3-venv
  "$found" -m venv "$@"
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
