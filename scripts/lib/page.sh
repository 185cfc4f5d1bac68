# shellcheck shell=bash
# Node for the page's tests, and the page's libraries by gateway/package-lock.json: see scripts/page.

setup_page() {
  if ! have node || ! have npm; then apt_install nodejs npm; fi
  doing "npm ci: the page's libraries"
  "$VF_ROOT/scripts/page"
}
