# shellcheck shell=bash
# The base of our images: the official one, or where no registry of images is reached one made from Debian's packages.
# The name of the one that is there is kept in $VF_STATE/base-image, a copy of one that was made in $VF_CACHE/images.
# shellcheck source=scripts/lib/images.sh
. "$VF_ROOT/scripts/lib/images.sh"

setup_base() {
  local name held
  held=$(image_held "$BASE_IMAGE")
  name=$(cat "$VF_STATE/base-image" 2>/dev/null) || name=$held
  # Another digest than the lock's is another image; one that was made here is of no registry.
  [ "$name" = "$BASE_FALLBACK" ] || name=$held
  if ! docker image inspect "$name" >/dev/null 2>&1; then
    name=$held
    log "base image: pulling $name"
    if ! image_pull base "$name"; then
      log "base image: no pull ($(tail -n 1 "$VF_STATE/pull-base.log" | tail -c 120)); made from Debian's packages, about a minute"
      name=$BASE_FALLBACK
      image_kept "$name" || { base_bootstrap "$name"; image_keep "$name"; }
    fi
  fi
  printf '%s\n' "$name" >"$VF_STATE/base-image"
}

base_bootstrap() {
  local root
  have debootstrap || apt_install debootstrap
  root=$(as_root mktemp -d)
  # shellcheck disable=SC2064
  trap "as_root rm -rf --one-file-system '$root'" EXIT
  doing "making it of Debian's packages" base_far
  touch "$VF_STATE/debootstrap.begin"
  base_fill "$root" >"$VF_STATE/debootstrap.log" 2>&1 || {
    tail -n 20 "$VF_STATE/debootstrap.log" >&2
    die "debootstrap failed (log: $VF_STATE/debootstrap.log)"
  }
  doing "packing it"
  as_root tar -C "$root" --one-file-system --sort=name -c . | docker import \
    --change 'ENV LANG=C.UTF-8 PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin' \
    --change 'CMD ["python3"]' - "$1" >/dev/null
  as_root rm -rf --one-file-system "$root"
  trap - EXIT
}

# base_far: by debootstrap's own words.
base_far() {
  local all
  all=$(grep -c '^I: Retrieving ' "$VF_STATE/debootstrap.log")
  printf '%s packages fetched, %s set up' "$all" "$(grep -c '^I: Configuring ' "$VF_STATE/debootstrap.log")"
}

# Called where errexit is off: every step is joined to the next.
base_fill() {
  as_root debootstrap --variant=minbase --include=python3,python3-venv,ca-certificates "$DEBIAN_SUITE" "$1" &&
    as_root ln -s python3 "$1/usr/bin/python" &&
    as_root sed -i -E 's/^deb (\S+) (\S+) main$/&\ndeb \1 \2-updates main\ndeb \1-security \2-security main/' \
      "$1/etc/apt/sources.list" &&
    as_root chroot "$1" apt-get update &&
    as_root env DEBIAN_FRONTEND=noninteractive chroot "$1" apt-get upgrade -y &&
    as_root find "$1/var/cache/apt" "$1/var/cache/ldconfig" "$1/var/lib/apt/lists" "$1/usr/share/doc" "$1/usr/share/man" \
      "$1/usr/share/locale" "$1/var/log" -type f ! -name copyright -delete &&
    base_settle "$1"
}

# This machine's name is nobody's business. /etc/hosts is there, or a build on the engine before 23 puts one and takes it
# away after each step, and /etc tells when. What was written just now gets the time that builds give to files.
base_settle() {
  as_root sh -c ': >"$1/etc/hosts" && : >"$1/etc/hostname" && : >"$1/etc/resolv.conf"' sh "$1" &&
    as_root find "$1" -xdev -newer "$VF_STATE/debootstrap.begin" -exec touch --no-dereference --date=@1767225600 {} +
}
