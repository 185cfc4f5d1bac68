# shellcheck shell=bash
# DynamoDB Local as an image: the official one, or one of the same shape from the base image and Maven's jars.
# The name of the one that is there is kept in $VF_STATE/dynamodb-image, a copy of one that was built in $VF_CACHE/images.
# shellcheck source=scripts/lib/images.sh
. "$VF_ROOT/scripts/lib/images.sh"

setup_dynamodb_image() {
  local name held
  held=$(image_held "$DYNAMODB_IMAGE")
  name=$(cat "$VF_STATE/dynamodb-image" 2>/dev/null) || name=$held
  [ "$name" = "$DYNAMODB_FALLBACK" ] || name=$held
  if ! docker image inspect "$name" >/dev/null 2>&1; then
    name=$held
    log "DynamoDB Local image: pulling $name"
    if ! image_pull dynamodb "$name"; then
      log "DynamoDB Local image: no pull; building one"
      name=$DYNAMODB_FALLBACK
      image_kept "$name" || { dynamodb_image_build "$name"; image_keep "$name"; }
    fi
  fi
  printf '%s\n' "$name" >"$VF_STATE/dynamodb-image"
}

dynamodb_image_build() {
  local context
  doing "getting what it is built of"
  "$VF_ROOT/scripts/setup" base dynamodb
  context=$(mktemp -d)
  # shellcheck disable=SC2064
  trap "rm -rf '$context'" EXIT
  cp "$VF_CACHE"/dynamodb-local/*.jar "$VF_CACHE"/dynamodb-local/*linux*.so "$VF_ROOT/scripts/lib/dynamodb-image/Dockerfile" "$context"
  python3 "$VF_ROOT/scripts/lib/dynamodb_jar.py" "$context"
  printf 'Dockerfile\n' >"$context/.dockerignore"
  doing "building it" image_build_far "$VF_STATE/dynamodb-image.log"
  # A client before 23 builds without BuildKit unless told.
  DOCKER_BUILDKIT=1 BUILDKIT_PROGRESS=plain docker build --tag "$1" --build-arg BASE="$(cat "$VF_STATE/base-image")" "$context" \
    >"$VF_STATE/dynamodb-image.log" 2>&1 || {
    tail -n 20 "$VF_STATE/dynamodb-image.log" >&2
    die "the DynamoDB Local image could not be built (log: $VF_STATE/dynamodb-image.log)"
  }
  rm -rf "$context"
  trap - EXIT
}
