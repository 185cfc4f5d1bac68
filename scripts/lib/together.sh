# shellcheck shell=bash
# Parts of the set-up side by side: what each of them does is shown while it takes long, and its time at the end.
# VF_PROGRESS is a folder with a file for each part that does something: since when, what, and a command that says how far.

declare -A together_pid=() together_begun=() together_wants=([base]=docker [dynamodb-image]=docker [ministack-image]=docker)

# together PART...: fails as soon as one of them did; the others are ended then, as they are by a signal.
together() {
  local part outer=${VF_PROGRESS:-} waiting=("$@") begun=$SECONDS shown=$SECONDS
  together_took=()
  [ -n "$outer" ] || { VF_PROGRESS=$(mktemp -d); export VF_PROGRESS; }
  [ -n "$outer" ] || ! [ -t 2 ] || export VF_LINE=$'\r\e[K'
  # shellcheck disable=SC2064
  trap "together_end; [ -n '$outer' ] || rm -rf '$VF_PROGRESS'" EXIT
  trap 'exit 130' INT
  trap 'exit 143' TERM
  while [ ${#waiting[@]} -gt 0 ] || [ ${#together_pid[@]} -gt 0 ]; do
    together_start
    for part in "${!together_pid[@]}"; do
      kill -0 "${together_pid[$part]}" 2>/dev/null || together_join "$part"
    done
    [ -n "$outer" ] || together_show
    sleep 0.1
  done
  trap - EXIT INT TERM
  [ -n "$outer" ] || { printf '%s' "${VF_LINE:-}" >&2; rm -rf "$VF_PROGRESS"; unset VF_PROGRESS VF_LINE; }
  together_times $((SECONDS - begun))
}

# Those whose needs are not under way any more.
together_start() {
  local part want left=()
  for part in "${waiting[@]}"; do
    want=${together_wants[$part]:-none}
    if [ -n "${together_pid[$want]:-}" ] || [[ " ${waiting[*]} " == *" $want "* ]]; then left+=("$part"); continue; fi
    together_begun[$part]=$(together_now)
    together_part "$part" &
    together_pid[$part]=$!
  done
  waiting=("${left[@]}")
}

# What an earlier part chose (a Docker client, an API version) is told by files that env.sh reads.
together_part() {
  trap - EXIT INT TERM
  # shellcheck source=scripts/lib/env.sh
  . "$VF_ROOT/scripts/lib/env.sh"
  VF_PART=${VF_WITHIN:+$VF_WITHIN }$1
  export VF_WITHIN=$VF_PART
  exec 9>"$(together_lock "$1")"
  flock -n 9 || { log "$1: waiting for another set-up"; doing "waiting for another set-up"; flock 9; }
  "setup_${1//-/_}"
}

# Folders for state may differ where that for the cache does not.
together_lock() { case $1 in dynamodb | pulumi) printf '%s' "$VF_CACHE/locks/$1" ;; *) printf '%s' "$VF_STATE/locks/$1" ;; esac; }

together_now() { date +%s%3N; }

together_join() {
  local part=$1 status=0 took
  took=$((($(together_now) - together_begun[$1]) / 1000))
  wait "${together_pid[$part]}" || status=$?
  unset "together_pid[$part]"
  rm -f "$VF_PROGRESS/${VF_WITHIN:+$VF_WITHIN }$part"
  [ "$status" = 0 ] || { log "$part: failed after $took s"; exit "$status"; }
  log "$part: ready$([ "$took" -lt 1 ] || printf ' (%s s)' "$took")"
  [ "$took" -lt 1 ] || together_took+=("$part $took s")
}

# On a terminal a line that is written anew every second, elsewhere one in ten seconds.
together_show() {
  local every=10 line='' part
  [ -z "${VF_LINE:-}" ] || every=1
  [ $((SECONDS - shown)) -ge "$every" ] || return 0
  shown=$SECONDS
  for part in "$VF_PROGRESS"/*; do
    [ ! -r "$part" ] || line+="${line:+ | }$(together_line "$part")"
  done
  [ -n "$line" ] || return 0
  if [ -z "${VF_LINE:-}" ]; then log "$line"
  elif [[ $line != *' sudo asks for'* ]]; then printf '%s' "$VF_LINE${line:0:$(($(together_columns) - 1))}" >&2; fi
}
together_columns() { stty size <&2 2>/dev/null | { read -r _ columns || columns=80; printf '%s' "${columns:-80}"; }; }

# together_line FILE: `pulumi: building the CLI, 60 s, 812 of 1930 packages`.
together_line() {
  local since what how far=''
  { read -r since && read -r what && read -r how; } <"$1" 2>/dev/null || return 0
  # Who cannot tell how far it is shows what it does all the same.
  if [ -n "$how" ] && ! far=$(eval "$how" 2>/dev/null); then far=''; fi
  printf '%s: %s, %s s%s' "${1##*/}" "$what" $(($(date +%s) - since)) "${far:+, $far}"
}

# A deployment tells them at its end, with its own; the file that VF_TIMES names keeps them for it.
together_times() {
  local all
  [ ${#together_took[@]} -gt 0 ] || return 0
  all=$(printf ', %s' "${together_took[@]}")
  if [ -n "${VF_TIMES:-}" ]; then printf '%s\n' "${together_took[@]}" >>"$VF_TIMES"
  elif [ -z "$outer" ] && [ "$1" -ge 5 ]; then log "set-up: $1 s (${all#, })"; fi
}

# What still runs, with all that it started; but apt and dpkg, which leave packages half installed, and the engine.
together_end() {
  local part
  for part in "${!together_pid[@]}"; do together_kill "${together_pid[$part]}"; done
}
together_kill() {
  local child name
  name=$(cat "/proc/$1/comm" 2>/dev/null) || return 0
  case $name in apt-get | sudo | dockerd) return ;; esac
  for child in $(cat "/proc/$1/task/$1/children" 2>/dev/null); do together_kill "$child"; done
  kill "$1" 2>/dev/null || [ ! -d "/proc/$1" ] || log "process $1 ($name) cannot be ended"
}
