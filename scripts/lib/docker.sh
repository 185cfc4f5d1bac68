# shellcheck shell=bash
# A Docker engine that answers, and a client that it understands.

setup_docker() {
  have python3 || apt_install python3
  if docker_client_fits; then return; fi
  if ! docker_engine_answers; then
    docker_may_ask
    have dockerd || { apt_install docker.io iptables ca-certificates; docker_install_client; }
    docker_start
  fi
  have docker || docker_install_client
  docker_choose_client
  docker_builds || log "docker client: it lacks buildx, without which it builds no images; your system may call it docker-buildx"
}

docker_socket() { local host=${DOCKER_HOST:-unix:///var/run/docker.sock}; printf '%s' "${host#unix://}"; }

# The engine itself, whatever the client: a client newer than the engine may refuse it, so its socket is asked as well.
docker_engine_answers() {
  { have docker && docker version >/dev/null 2>&1; } ||
    python3 "$VF_ROOT/scripts/lib/engine_version.py" "$(docker_socket)" >/dev/null 2>&1
}

docker_barred() { local socket; socket=$(docker_socket); [ -S "$socket" ] && [ ! -w "$socket" ]; }
docker_may_ask() { ! docker_barred || die "you may not use the Docker engine's socket $(docker_socket): join its group, or be root"; }

# True when this client talks to the engine and can build for it.
docker_client_fits() {
  local client=${1:-docker}
  have "$client" && "$client" version >/dev/null 2>&1 && docker_builds "$client"
}

# docker_builds [CLIENT]: with BuildKit, by the buildx plugin, or, before 23, itself; whether an engine is there or not.
docker_builds() {
  local client=${1:-docker} version
  version=$("$client" --version 2>/dev/null) || return 1
  version=${version#Docker version }
  [ "${version%%.*}" -lt 23 ] 2>/dev/null || "$client" buildx version >/dev/null 2>&1
}

# Debian 13 and later have the client, and what it builds with, in packages of their own; Ubuntu has the latter.
docker_install_client() {
  have docker || docker_package docker-cli
  docker_builds || docker_package docker-buildx
}
docker_package() { ! apt-cache show "$1" >/dev/null 2>&1 || apt_install "$1"; }

docker_start() {
  local pid=
  if docker_service && as_root systemctl start docker 2>/dev/null; then
    log "docker engine: started by systemd"
  else
    log "docker engine: starting (log: $VF_STATE/dockerd.log)"
    # The locks of the set-up (9), of docker_hold (8) and of state_alone (7): the daemon must not inherit them.
    as_root setsid dockerd --group "$(id -gn)" --pidfile "$VF_STATE/dockerd.pid" \
      >"$VF_STATE/dockerd.log" 2>&1 </dev/null 7>&- 8>&- 9>&- &
    pid=$!
    disown
  fi
  doing "waiting for the engine, 60 s at most"
  if ! { wait_for 60 docker_settled "$pid" && docker_engine_answers; }; then
    # The package's service lets its group ask, which whoever installed it is not in.
    docker_may_ask
    [ ! -r "$VF_STATE/dockerd.log" ] || tail -n 5 "$VF_STATE/dockerd.log" >&2
    die "the Docker engine did not become ready (log: $VF_STATE/dockerd.log, or the service manager's)"
  fi
}

docker_service() { [ -d /run/systemd/system ]; }

# It answers, or it has ended and never will; a service's does not to who may not ask, from its socket's beginning on.
docker_settled() {
  docker_engine_answers || if [ -n "$1" ]; then ! [ -d "/proc/$1" ]; else docker_barred; fi
}

# docker_hold: as long as this process lives, docker_stop_unused leaves the engine on, whichever folder for state it has.
docker_hold() {
  exec 8>"$VF_CACHE/locks/engine"
  flock -s 8
}

# docker_stop_unused: docker_stop, unless a container runs on that engine or somebody holds it.
docker_stop_unused() {
  [ -s "$VF_STATE/dockerd.pid" ] || return 0
  exec 8>"$VF_CACHE/locks/engine"
  # It listens at the default socket, whichever engine the environment, or the context in use, names.
  if flock -n 8 && [ -z "$(DOCKER_HOST=unix:///var/run/docker.sock docker ps --quiet 2>&1)" ]; then
    docker_stop "the set-up started it and nothing runs on it; scripts/up starts it again"
  fi
  exec 8>&-
}

# docker_stop [REASON]: ends the engine that docker_start began by hand, by its id; anything else is left alone.
docker_stop() {
  local pid
  [ -s "$VF_STATE/dockerd.pid" ] || return 0
  pid=$(cat "$VF_STATE/dockerd.pid")
  if [ "$(cat "/proc/$pid/comm" 2>/dev/null)" = dockerd ]; then
    log "docker engine: stopping${1:+ ($1)}"
    as_root kill "$pid"
    wait_for 60 docker_gone "$pid" || die "dockerd ($pid) did not end in 60 s"
  fi
  rm -f "$VF_STATE/dockerd.pid"
}

docker_gone() { ! [ -d "/proc/$1" ] || [ "$(awk '{print $3}' "/proc/$1/stat")" = Z ]; }

# Of the clients on PATH the first that fits is linked into the cache's bin, which comes first on PATH.
docker_choose_client() {
  local client version any
  rm -f "$VF_CACHE/bin/docker" "$VF_STATE/docker-api"
  unset DOCKER_API_VERSION
  hash -r
  if docker_client_fits; then return; fi
  for client in $(type -ap docker); do
    if docker_client_fits "$client"; then
      log "docker client: $client, because the first on PATH cannot build for this engine"
      ln -s "$client" "$VF_CACHE/bin/docker"
      return
    fi
    "$client" version >/dev/null 2>&1 && any=$client
  done
  version=$(python3 "$VF_ROOT/scripts/lib/engine_version.py" "$(docker_socket)")
  if [ -n "$version" ] && DOCKER_API_VERSION=$version docker version >/dev/null 2>&1; then
    log "docker client: speaks the engine's API $version"
    printf '%s' "$version" >"$VF_STATE/docker-api"
    export DOCKER_API_VERSION=$version
    any=docker
  fi
  [ -n "${any:-}" ] || { docker version >&2 || die "no Docker client on PATH can talk to the engine"; }
}
