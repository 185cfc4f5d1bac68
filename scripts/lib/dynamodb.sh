# shellcheck shell=bash
# DynamoDB Local and all its libraries in $VF_CACHE/dynamodb-local, from Maven; scripts/dynamodb runs it.

setup_dynamodb() {
  local folder=$VF_CACHE/dynamodb-local pom=$VF_ROOT/scripts/lib/dynamodb-pom.xml stamp
  stamp="$DYNAMODB_VERSION $(hash_of "$pom")"
  have java || apt_install openjdk-17-jre-headless
  [ "$(cat "$folder/stamp" 2>/dev/null)" != "$stamp" ] || return 0
  have mvn || apt_install maven
  log "DynamoDB Local $DYNAMODB_VERSION: fetching with Maven (48 MB)"
  rm -rf "$folder.new"
  doing "fetching it with Maven" dynamodb_far
  mvn --batch-mode --file "$pom" -Ddynamodb.version="$DYNAMODB_VERSION" dependency:copy-dependencies \
    -DincludeScope=runtime -DoutputDirectory="$folder.new" >"$VF_STATE/maven.log" 2>&1 || {
    tail -n 20 "$VF_STATE/maven.log" >&2
    die "Maven could not fetch DynamoDB Local (log: $VF_STATE/maven.log)"
  }
  printf '%s' "$stamp" >"$folder.new/stamp"
  rm -rf "$folder"
  mv "$folder.new" "$folder"
}

# dynamodb_far: by Maven's own words, and by what it has put there.
dynamodb_far() {
  local put
  put=$(find "$VF_CACHE/dynamodb-local.new" -type f 2>/dev/null | wc -l)
  printf '%s files fetched, %s put there' "$(grep -c 'Downloaded from ' "$VF_STATE/maven.log")" "$put"
}
