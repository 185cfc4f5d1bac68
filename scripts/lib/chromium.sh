# shellcheck shell=bash
# A browser of the Chromium family, under the name chromium on PATH, for the page's tests.

CHROMIUM_NAMES=(chromium-headless-shell chromium chromium-browser google-chrome google-chrome-stable)

# Debian's headless shell where there is none yet: without a whole browser's windows it takes a quarter less processor
# time of a test. Ubuntu has no such package.
setup_chromium() {
  local name
  link_chromium && return
  if (apt_install chromium-headless-shell); then link_chromium && return; fi
  log "taking the whole browser"
  apt_install chromium
}

link_chromium() {
  for name in "${CHROMIUM_NAMES[@]}"; do
    have "$name" || continue
    [ "$name" = chromium ] || ln -sf "$(command -v "$name")" "$VF_CACHE/bin/chromium"
    return
  done
  return 1
}
