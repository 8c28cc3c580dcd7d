#!/usr/bin/env bash
# Provides a browser for the tests of the operators' page.
#
#   browser.sh ensure       installs Debian's chromium and chromium-driver if they are missing
#   browser.sh axe FOLDER   fetches axe-core from the npm registry and prints its path, for HANDOFFD_TEST_AXE
#
# Exit status 1, with the reason in the last line, if no browser is available; the tests then report that they are
# skipped. HANDOFFD_TEST_CHROMIUM and HANDOFFD_TEST_CHROMEDRIVER replace those in the PATH.
set -euo pipefail

CHROMIUM=${HANDOFFD_TEST_CHROMIUM:-chromium}
DRIVER=${HANDOFFD_TEST_CHROMEDRIVER:-chromedriver}

main() {
  case "${1:-}" in
    ensure) ensure ;;
    axe) axe "${2:?a folder}" ;;
    *) sed -n '2,8s/^# \{0,1\}//p' "$0" >&2; exit 2 ;;
  esac
}

ensure() {
  there && return 0
  if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null; then
    fail "no browser found; install one (Debian, Ubuntu: apt-get install --no-install-recommends chromium chromium-driver)"
  fi
  echo "installing chromium and chromium-driver" >&2
  install_packages && there || fail "no browser found; chromium and chromium-driver could not be installed, see the output above"
}

axe() {
  mkdir -p "$1" && cd "$1"
  npm pack --silent axe-core@4 >&2 || fail "axe-core could not be fetched from the npm registry"
  tar xzf axe-core-4*.tgz package/axe.min.js
  echo "$PWD/package/axe.min.js"
}

there() { command -v "$CHROMIUM" >/dev/null && command -v "$DRIVER" >/dev/null; }

install_packages() {
  local packages=(chromium chromium-driver)
  export DEBIAN_FRONTEND=noninteractive
  apt-get install -y -q --no-install-recommends "${packages[@]}" >&2 && return 0
  apt-get update -q >&2 && apt-get install -y -q --no-install-recommends "${packages[@]}" >&2
}

fail() {
  printf 'browser.sh: %s\n' "$*" >&2
  exit 1
}

main "$@"
