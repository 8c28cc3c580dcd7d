#!/usr/bin/env bash
# Installs handoffd for systemd, as root; a second run upgrades it and keeps configuration, secrets and data:
#
#   deploy/systemd/install.sh target/release/handoffd
#
# It creates the user handoffd, /etc/handoffd (root:handoffd, closed to others), and a random token of the HTTP interface
# in /etc/handoffd/secrets/http-token. It starts nothing. ROOT=/some/folder installs below that folder instead; with
# `--stage` only what is the same on every machine, for a package.
set -euo pipefail
HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
ROOT=${ROOT:-}

main() {
  local stage=
  [ "${1:-}" != --stage ] || { stage=yes; shift; }
  [ $# -eq 1 ] && [ -f "$1" ] || { sed -n '2,8s/^# \{0,1\}//p' "$HERE/install.sh" >&2; exit 2; }
  [ -n "$stage" ] || [ "$(id -u)" -eq 0 ] || { echo "install.sh: must run as root" >&2; exit 1; }
  umask 022
  put 0755 "$1" /usr/lib/handoffd/handoffd
  put 0755 "$HERE/handoffd.sh" /usr/bin/handoffd
  put 0644 "$HERE/handoffd.service" /usr/lib/systemd/system/handoffd.service
  put 0644 "$HERE/handoffd.sysusers" /usr/lib/sysusers.d/handoffd.conf
  put 0644 "$HERE/handoffd.tmpfiles" /usr/lib/tmpfiles.d/handoffd.conf
  [ -z "$stage" ] || return 0
  mkdir -p -m 0700 "$ROOT/etc/handoffd"
  [ -e "$ROOT/etc/handoffd/handoffd.toml" ] || (umask 077 && cp "$HERE/handoffd.toml" "$ROOT/etc/handoffd/handoffd.toml")
  DPKG_ROOT=$ROOT "$HERE/../debian/postinst" configure
}

# A running program is replaced, not overwritten.
put() {
  mkdir -p "$ROOT$(dirname "$3")"
  install -m "$1" "$2" "$ROOT$3.new"
  mv "$ROOT$3.new" "$ROOT$3"
}

main "$@"
