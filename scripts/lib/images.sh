# shellcheck shell=bash
# Images that the set-up pulls, or makes where no registry is reached; $VF_CACHE/images keeps what was made, for the next engine.

# image_held NAME: the image as infra/images.lock holds it, name@digest, else its name.
image_held() { awk -v name="$1" '$1 == name && $2 != "-" { at = "@" $2 } END { print name at }' "$VF_ROOT/infra/images.lock"; }

# image_pull SHORT NAME: its log is $VF_STATE/pull-SHORT.log.
image_pull() {
  doing "pulling $2" image_pull_far "$VF_STATE/pull-$1.log"
  timeout 600 docker pull "$2" >"$VF_STATE/pull-$1.log" 2>&1
}
image_pull_far() { printf '%s of %s layers' "$(grep -c ': Pull complete' "$1")" "$(grep -c ': Pulling fs layer' "$1")"; }

# image_build_far LOG: the last step of a build by BuildKit (`[3/5]`), or by the engine itself (`Step 3/5`).
image_build_far() { grep -oE '(^Step |\[)[0-9]+/[0-9]+' "$1" | tail -n 1 | sed -E 's/^(Step |\[)/step /; s:/: of :'; }

# image_kept NAME: true when the engine has it, also because the cache does.
image_kept() {
  docker image inspect "$1" >/dev/null 2>&1 && return
  [ -r "$(image_file "$1")" ] || return 1
  doing "loading $1 from the cache"
  docker load --quiet --input "$(image_file "$1")" >"$VF_STATE/load.log" 2>&1 && docker image inspect "$1" >/dev/null 2>&1
}

# image_keep NAME: renamed into place, so that what is there is whole.
image_keep() {
  local file
  file=$(image_file "$1")
  mkdir -p "${file%/*}"
  doing "keeping a copy in the cache"
  docker save "$1" | gzip -1 >"$file.$$"
  mv "$file.$$" "$file"
}

# By the processor too: a folder that was carried over may be another kind's.
image_file() { printf '%s/images/%s.%s.tar.gz' "$VF_CACHE" "${1//[:\/]/-}" "$(uname -m)"; }
