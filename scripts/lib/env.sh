# shellcheck shell=bash
# What every script needs: folders, PATH, log and die. Source it; it changes nothing outside the state folder.

VF_ROOT=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/../.." && pwd)
VF_CACHE=${VF_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/vaporforge}
VF_STATE=${VF_STATE:-${XDG_STATE_HOME:-$HOME/.local/state}/vaporforge}
export VF_ROOT VF_CACHE VF_STATE
export PATH="$VF_CACHE/bin:$VF_ROOT/.venv/bin:$PATH"
mkdir -p "$VF_CACHE/bin" "$VF_STATE/locks"

# shellcheck source=scripts/lib/versions.sh
. "$VF_ROOT/scripts/lib/versions.sh"

log() { printf '==> %s\n' "$*" >&2; }
die() { printf 'error: %s\n' "$*" >&2; exit 1; }
have() { command -v "$1" >/dev/null 2>&1; }

# usage FILE: prints the comment block at the head of a script, which is its help.
usage() { sed -n '2,/^[^#]/{/^#/s/^# \{0,1\}//p;}' "$1"; }

as_root() {
  if [ "$(id -u)" = 0 ]; then "$@"
  elif have sudo; then sudo "$@"
  else die "this needs root, and there is no sudo: $*"; fi
}

# apt_install PACKAGE...: Debian and its children only; elsewhere says what to install.
apt_install() {
  have apt-get || die "please install with your system's package manager: $*"
  log "apt-get install $*"
  local options=(-o DPkg::Lock::Timeout=600 -o Acquire::Retries=3)
  { as_root env DEBIAN_FRONTEND=noninteractive apt-get "${options[@]}" update -qq &&
    as_root env DEBIAN_FRONTEND=noninteractive apt-get "${options[@]}" install -y -qq --no-install-recommends "$@"
  } >"$VF_STATE/apt.log" 2>&1 || { tail -n 20 "$VF_STATE/apt.log" >&2; die "apt-get install $* failed"; }
}

# wait_for SECONDS COMMAND...: polls with growing pauses until COMMAND succeeds; false at the deadline.
wait_for() {
  local end=$((SECONDS + $1)) pause=0.05
  shift
  until "$@" >/dev/null 2>&1; do
    [ "$SECONDS" -lt "$end" ] || return 1
    sleep "$pause"
    case $pause in 0.05) pause=0.1 ;; 0.1) pause=0.25 ;; *) pause=0.5 ;; esac
  done
}

# hash_of FILE...: one short name for these files' contents.
hash_of() { cat -- "$@" | sha256sum | cut -c1-16; }

# Companies and clouds whose proxies re-sign TLS install a certificate of their own on the host; containers and
# image builds need it too. VF_CA_BUNDLE is a PEM file with those certificates, or unset where there are none.
find_ca_bundle() {
  local extra=(/usr/local/share/ca-certificates/*.crt) file
  [ -z "${VF_CA_BUNDLE:-}" ] || { export VF_CA_BUNDLE; return 0; }
  [ -e "${extra[0]}" ] || return 0
  file=$VF_STATE/ca-bundle.pem
  if ! awk 1 "${extra[@]}" | cmp -s - "$file"; then
    awk 1 "${extra[@]}" >"$file.$$"
    mv "$file.$$" "$file"
  fi
  export VF_CA_BUNDLE=$file
}
find_ca_bundle

# Programs with roots of their own: node adds the bundle to them; uv takes the system's, which the host has it in.
if [ -n "${VF_CA_BUNDLE:-}" ]; then
  export NODE_EXTRA_CA_CERTS=${NODE_EXTRA_CA_CERTS:-$VF_CA_BUNDLE}
  export UV_SYSTEM_CERTS=${UV_SYSTEM_CERTS:-true} UV_NATIVE_TLS=${UV_NATIVE_TLS:-true}
fi

# Written by lib/docker.sh where client and engine need help to understand each other.
if [ -z "${DOCKER_API_VERSION:-}" ] && [ -r "$VF_STATE/docker-api" ]; then
  DOCKER_API_VERSION=$(cat "$VF_STATE/docker-api")
  export DOCKER_API_VERSION
fi
