# shellcheck shell=bash
# What scripts/bench compares an agent's lines with: the Debian package.

setup_websocketd() {
  if have websocketd; then return; fi
  apt_install websocketd
}
