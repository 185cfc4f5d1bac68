# shellcheck shell=bash
# A browser of the Chromium family, under the name chromium on PATH, for the page's tests.

setup_chromium() {
  local name
  have chromium && return
  for name in chromium-browser google-chrome google-chrome-stable; do
    have "$name" || continue
    ln -sf "$(command -v "$name")" "$VF_CACHE/bin/chromium"
    return
  done
  apt_install chromium
}
