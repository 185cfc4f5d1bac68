# shellcheck shell=bash
# ministack as an image, for tests: its ECS starts its tasks' containers beside itself. Its name is kept in
# $VF_STATE/ministack-image, a copy of it in $VF_CACHE/images.
# shellcheck source=scripts/lib/images.sh
. "$VF_ROOT/scripts/lib/images.sh"

setup_ministack_image() {
  local context=$VF_ROOT/tests/aws/cloud name
  name=vaporforge-ministack:$(cat "$context/Dockerfile" "$context/requirements.txt" | sha256sum | head -c 12)
  image_kept "$name" || { ministack_image_build "$name" "$context"; image_keep "$name"; }
  printf '%s\n' "$name" >"$VF_STATE/ministack-image"
}

ministack_image_build() {
  local context
  "$VF_ROOT/scripts/setup" base
  context=$(mktemp -d)
  # shellcheck disable=SC2064
  trap "rm -rf '$context'" EXIT
  cp "$2/Dockerfile" "$2/requirements.txt" "$context"
  doing "building it" image_build_far "$VF_STATE/ministack-image.log"
  # A client before 23 builds without BuildKit unless told.
  DOCKER_BUILDKIT=1 BUILDKIT_PROGRESS=plain docker build --tag "$1" --build-arg BASE="$(cat "$VF_STATE/base-image")" \
    --build-arg CA_CERTS="$(cat "${VF_CA_BUNDLE:-/dev/null}")" "$context" >"$VF_STATE/ministack-image.log" 2>&1 || {
    tail -n 20 "$VF_STATE/ministack-image.log" >&2
    die "the ministack image could not be built (log: $VF_STATE/ministack-image.log)"
  }
  rm -rf "$context"
  trap - EXIT
}
