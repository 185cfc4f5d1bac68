# shellcheck shell=bash
# A proxy for end-to-end tests, and the relay that scripts/bench compares with: its binary only, never its service.

setup_nginx() {
  if PATH=$PATH:/usr/sbin have nginx; then return; fi
  apt_install nginx-light
  [ ! -d /run/systemd/system ] || as_root systemctl disable --now --quiet nginx
}
