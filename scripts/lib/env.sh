# shellcheck shell=bash
# What every script needs: folders, PATH, log and die. Source it; it changes nothing outside the state folder.

VF_ROOT=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/../.." && pwd)
VF_CACHE=${VF_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/vaporforge}
VF_STATE=${VF_STATE:-${XDG_STATE_HOME:-$HOME/.local/state}/vaporforge}
# Commands go to the clone's folder: a folder that is named from here is told whole.
case $VF_CACHE in /*) ;; *) VF_CACHE=$PWD/$VF_CACHE ;; esac
case $VF_STATE in /*) ;; *) VF_STATE=$PWD/$VF_STATE ;; esac
export VF_ROOT VF_CACHE VF_STATE
export PATH="$VF_CACHE/bin:$VF_ROOT/.venv/bin:$PATH"
mkdir -p "$VF_CACHE/bin" "$VF_CACHE/locks" "$VF_STATE/locks"

# shellcheck source=scripts/lib/versions.sh
. "$VF_ROOT/scripts/lib/versions.sh"

# VF_LINE: what erases the line in which scripts/setup shows on a terminal how far it is.
log() { printf '%s==> %s\n' "${VF_LINE:-}" "$*" >&2; }
die() { printf '%serror: %s\n' "${VF_LINE:-}" "$*" >&2; exit 1; }
have() { command -v "$1" >/dev/null 2>&1; }

# need_python: for commands that set nothing up themselves.
need_python() { have python || die "there is no Python environment; scripts/setup infra makes it"; }

# usage FILE: prints the comment block at the head of a script, which is its help.
usage() { sed -n '2,/^[^#]/{/^#/s/^# \{0,1\}//p;}' "$1"; }

# asks_help ARGUMENT...: whether one of them is -h or --help; within a value these mean something else.
asks_help() {
  local argument
  for argument; do case $argument in -h | --help) return ;; esac; done
  return 1
}

# doing WHAT [COMMAND...]: what this part of the set-up does from now on, and how far it is: what COMMAND prints, when
# scripts/setup shows it. A part is named by VF_PART; outside of one nothing is shown.
doing() {
  [ -n "${VF_PART:-}" ] || return 0
  { printf '%s\n%s\n' "$(date +%s)" "$1"; shift; [ $# -eq 0 ] || printf '%q ' "$@"; printf '\n'; } >"$VF_PROGRESS/.$VF_PART"
  mv "$VF_PROGRESS/.$VF_PART" "$VF_PROGRESS/$VF_PART"
}

as_root() {
  if [ "$(id -u)" = 0 ]; then "$@"
  elif have sudo; then
    # A question at the terminal stays readable: nothing is shown over it.
    sudo -n true 2>/dev/null || { doing "waiting for the password that sudo asks for" asking; sudo -v; }
    sudo "$@"
  else die "this needs root, and there is no sudo: $*"; fi
}

# apt_install PACKAGE...: Debian and its children only; elsewhere says what to install.
apt_install() {
  have apt-get || die "please install with your system's package manager: $*"
  # Said here, for what as_root says goes to the log.
  [ "$(id -u)" = 0 ] || have sudo || die "apt-get install $* needs root, and there is no sudo: let root do it, then this again"
  log "apt-get install $*"
  local options=(-o DPkg::Lock::Timeout=600 -o Acquire::Retries=3)
  # apt waits for nobody who fetches lists, and one log is enough. A service that a package starts must not keep locks.
  exec 6>"$VF_STATE/locks/apt"
  flock -n 6 || { doing "waiting for another apt-get"; flock 6; }
  doing "apt-get install $*" apt_far
  { as_root env DEBIAN_FRONTEND=noninteractive apt-get "${options[@]}" update -q &&
    as_root env DEBIAN_FRONTEND=noninteractive apt-get "${options[@]}" install -y -q --no-install-recommends "$@"
  } >"$VF_STATE/apt.log" 2>&1 6>&- 7>&- 8>&- 9>&- || { tail -n 20 "$VF_STATE/apt.log" >&2; die "apt-get install $* failed"; }
  exec 6>&-
}

# apt_far: by apt's own words.
apt_far() {
  local all
  all=$(sed -nE 's/^([0-9]+) upgraded, ([0-9]+) newly installed.*/\1 + \2/p' "$VF_STATE/apt.log" | tail -n 1)
  [ -n "$all" ] || { printf 'fetching lists of packages'; return; }
  printf '%s of %s packages unpacked, %s set up' "$(grep -c '^Unpacking ' "$VF_STATE/apt.log")" $((all)) \
    "$(grep -c '^Setting up ' "$VF_STATE/apt.log")"
}

# state_alone: refuses where another process deploys or stops a stack from this state folder; from here to its end this
# one does. Whatever outlives it must not inherit descriptor 7.
state_alone() {
  local lock=$VF_STATE/locks/deploy
  exec 7<>"$lock"
  flock -n 7 || die "process $(cat "$lock") deploys or stops a stack from the state folder $VF_STATE; let it end, or choose another folder: VF_STATE=FOLDER $0"
  printf '%s\n' "$$" >"$lock"
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

# What uv has fetched is carried over with the rest of the cache.
export UV_CACHE_DIR=${UV_CACHE_DIR:-$VF_CACHE/packages}

# Programs with roots of their own: node adds the bundle to them; uv takes the system's, which the host has it in.
if [ -n "${VF_CA_BUNDLE:-}" ]; then
  export NODE_EXTRA_CA_CERTS=${NODE_EXTRA_CA_CERTS:-$VF_CA_BUNDLE}
  export UV_SYSTEM_CERTS=${UV_SYSTEM_CERTS:-true} UV_NATIVE_TLS=${UV_NATIVE_TLS:-true}
fi

# Whatever proxy the environment names: what listens on this machine is reached without it.
if [ -n "${http_proxy:-}${HTTP_PROXY:-}${https_proxy:-}${HTTPS_PROXY:-}${all_proxy:-}${ALL_PROXY:-}" ]; then
  NO_PROXY=${NO_PROXY:-${no_proxy:-}}
  case ",$NO_PROXY," in *,127.0.0.1,*) ;; *) NO_PROXY=${NO_PROXY:+$NO_PROXY,}localhost,127.0.0.1,::1 ;; esac
  no_proxy=$NO_PROXY
  export NO_PROXY no_proxy
fi

# One engine for every part, chosen as the Docker CLI does: DOCKER_HOST, else DOCKER_CONTEXT, else the context in use.
# Only that CLI knows contexts; whatever else asks the engine is told its address.
find_engine() {
  local name=${DOCKER_CONTEXT:-} told config=${DOCKER_CONFIG:-$HOME/.docker}/config.json
  [ -z "${DOCKER_HOST:-}" ] || return 0
  # Older clients have no `docker context show`.
  if [ -z "$name" ] && [ -r "$config" ]; then
    name=$(sed -n 's/.*"currentContext"[[:space:]]*:[[:space:]]*"\([^"]*\)".*/\1/p' "$config" | head -n 1)
  fi
  if [ -z "$name" ] || [ "$name" = default ]; then return 0; fi
  have docker || die "the Docker context $name is chosen and there is no docker to ask for its engine; set DOCKER_HOST"
  told=$(docker context inspect --format '{{.Endpoints.docker.Host}} {{.Storage.TLSPath}}' "$name") ||
    die "the Docker context $name cannot be used; docker context ls names those that there are"
  export DOCKER_HOST=${told%% *}
  if [ -d "${told#* }/docker" ]; then export DOCKER_CERT_PATH=${told#* }/docker DOCKER_TLS_VERIFY=1; fi
  unset DOCKER_CONTEXT
}
find_engine

# Written by lib/docker.sh where client and engine need help to understand each other.
if [ -z "${DOCKER_API_VERSION:-}" ] && [ -r "$VF_STATE/docker-api" ]; then
  DOCKER_API_VERSION=$(cat "$VF_STATE/docker-api")
  export DOCKER_API_VERSION
fi
