#!/usr/bin/env bash
# `make compat`: runs the integration tests that use a broker on several versions of RabbitMQ.
#
#   VERSIONS="3.10 4.0 4.3"   versions to test
#   FILTER="rabbit story"     runs only tests whose names contain one of these words
#   MIRROR=URL                Debian mirror, if apt's own sources have none
#
# A version installed on this system is used as it is. Any other comes from a Debian release that has it, in a root
# folder (deploy/broker.sh, HANDOFFD_BROKER_ROOT) that is created once and kept: root only, 1 to 4 minutes and 300 MB
# each. Exit status: 0 if all tests passed on all versions, 1 if one failed, 2 if a version is unavailable.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
PATH=$PATH:${HOME:-/root}/.cargo/bin:/usr/sbin:/sbin

CACHE=${XDG_CACHE_HOME:-${HOME:-/root}/.cache}/handoffd
PACKAGED=/usr/lib/rabbitmq/bin
# Tests of `it` without a broker, or with one in memory.
WITHOUT=(config:: contract_table:: ops:: org_test:: page_browser:: prometheus:: store_)
# In seconds.
FETCHING=1800
ENDING=20
SUMMARY=()
STATUS=0
PARTIAL=

main() {
  trap tidy EXIT
  trap 'exit 130' INT
  trap 'exit 143' TERM HUP
  # Inherited by every process started here, and used to find them at the end.
  export HANDOFFD_COMPAT=$$
  local version versions=()
  read -r -a versions <<<"${VERSIONS:-3.10 4.0 4.3}"
  for version in "${versions[@]}"; do
    on_system "$version" || need_root "$version"
  done
  for version in "${versions[@]}"; do
    on_system "$version" || in_folder "$version" || fetch "$version"
  done
  choose_tests
  in_background "${BUILDER[@]}"
  for version in "${versions[@]}"; do
    try "$version"
  done
  printf '\n'
  printf '%s\n' "${SUMMARY[@]}"
  exit "$STATUS"
}

# Debian release of a version. Sid has the newest.
release_of() {
  case "$1" in
    3.10) echo bookworm ;;
    4.0) echo trixie ;;
    *) echo sid ;;
  esac
}

folder_of() { echo "$CACHE/rabbitmq-$1"; }

# Exact version of the RabbitMQ in a folder of programs, which are links to a folder named after it.
exact() {
  { readlink -f "$1/rabbitmq-server" || true; } | sed -n 's|.*/rabbitmq_server-\([^/]*\)/sbin/rabbitmq-server$|\1|p'
}

exact_here() { exact "${RABBITMQ_SERVER_HOME:-$PACKAGED}"; }

on_system() { [[ "$(exact_here)" == "$1".* ]]; }

in_folder() { [ -d "$(folder_of "$1")" ]; }

need_root() {
  local here instead=
  here=$(exact_here)
  [ -z "$here" ] || instead="Or test on this system's RabbitMQ $here: make compat VERSIONS=$(minor "$here")"
  [ "$(id -u)" -eq 0 ] ||
    cannot "RabbitMQ $1 is not installed and needs a root folder of its own. Run as root." "$instead"
  unshare --mount true 2>/dev/null ||
    cannot "RabbitMQ $1 is not installed and needs a root folder of its own, but mounts are not permitted." \
      "Run with permission to mount; a container needs the capability SYS_ADMIN." "$instead"
}

minor() { cut -d. -f1,2 <<<"$1"; }

need_debootstrap() {
  command -v debootstrap >/dev/null && return 0
  command -v apt-get >/dev/null || cannot "debootstrap is required to fetch RabbitMQ $1. Install debootstrap."
  echo "installing debootstrap" >&2
  export DEBIAN_FRONTEND=noninteractive
  apt-get install -y -q --no-install-recommends debootstrap >&2 ||
    { apt-get update -q >&2 && apt-get install -y -q --no-install-recommends debootstrap >&2; } ||
    cannot "debootstrap is required to fetch RabbitMQ $1 and could not be installed; see the output above."
}

fetch() {
  local version=$1 release root mirror found
  need_debootstrap "$version"
  release=$(release_of "$version")
  root=$(folder_of "$version")
  mirror=${MIRROR:-$(mirror)}
  [ -n "$mirror" ] || cannot "apt's sources have no Debian mirror to fetch RabbitMQ $version from; set one: make compat MIRROR=URL"
  mkdir -p "$CACHE"
  echo "fetching RabbitMQ $version from Debian $release into $root (1 to 4 minutes)" >&2
  PARTIAL=$root.$$
  # In a mount namespace of its own, so that the mounts of debootstrap disappear with it, however it ends.
  in_background timeout "$FETCHING" unshare --mount debootstrap --variant=minbase --include=rabbitmq-server \
    "$release" "$PARTIAL" "$mirror" >"$root.log" 2>&1 ||
    { tail -n 20 "$root.log" >&2; cannot "RabbitMQ $version could not be fetched; see debootstrap's output in $root.log"; }
  rm -rf "$PARTIAL"/var/cache/apt/archives/*.deb "$PARTIAL"/var/lib/apt/lists/*
  # The node's name ends in @localhost.
  [ -e "$PARTIAL/etc/hosts" ] || printf '127.0.0.1\tlocalhost\n' >"$PARTIAL/etc/hosts"
  found=$(exact "$PARTIAL$PACKAGED")
  if [[ "$found" != "$version".* ]]; then
    cannot "Debian $release now has RabbitMQ ${found:-of an unknown version}, not $version." \
      "Test on that one: make compat VERSIONS=$(minor "$found")"
  fi
  # Another run may have finished first.
  mv -T "$PARTIAL" "$root" 2>/dev/null || [ -d "$root" ]
}

# Mirror as apt itself reports it, for any format of its sources.
mirror() {
  local targets
  targets=$(apt_targets)
  if [ -z "$targets" ]; then
    apt-get update -q >&2 || return 0
    targets=$(apt_targets)
  fi
  head -n 1 <<<"$targets"
}

apt_targets() {
  # shellcheck disable=SC2016 # for apt-get
  apt-get indextargets --format '$(ORIGIN) $(LABEL) $(REPO_URI)' 'Created-By: Packages' 2>/dev/null |
    sed -n 's/^Debian Debian //p' || true
}

# As in tests/run.sh: three at a time for two processors, because most wait for a broker or a clock.
choose_tests() {
  local words=() word threads=$((($(nproc) * 3 + 1) / 2))
  export NEXTEST_TEST_THREADS=${NEXTEST_TEST_THREADS:-$threads} RUST_TEST_THREADS=${RUST_TEST_THREADS:-$threads}
  local runner=(cargo test)
  if cargo nextest --version >/dev/null 2>&1; then runner=(cargo nextest run); fi
  BUILDER=("${runner[@]}" --no-run --test it)
  read -r -a words <<<"${FILTER:-}"
  RUNNER=("${runner[@]}" --no-fail-fast --test it -- "${words[@]}")
  for word in "${WITHOUT[@]}"; do RUNNER+=(--skip "$word"); done
}

try() {
  local version=$1 start=$SECONDS name line folder place
  if on_system "$version"; then
    name="RabbitMQ $(exact_here) (this system's)"
    place=(HANDOFFD_BROKER_ROOT=)
  else
    folder=$(folder_of "$version")
    name="RabbitMQ $(exact "$folder$PACKAGED") (Debian $(release_of "$version"))"
    place=(HANDOFFD_BROKER_ROOT="$folder" RABBITMQ_SERVER_HOME=)
  fi
  printf '\n== %s\n' "$name"
  # A differing snapshot is a failure, and must not leave a file.
  if in_background env "${place[@]}" HANDOFFD_BROKER_LIFE=7200 INSTA_UPDATE=no bash deploy/broker.sh run -- "${RUNNER[@]}"; then
    line="$name: ok ($((SECONDS - start)) s)"
  else
    line="$name: FAILED ($((SECONDS - start)) s)"
    STATUS=1
  fi
  printf '%s\n' "$line"
  SUMMARY+=("$line")
}

# In the background, so that a signal to this process takes effect at once.
in_background() {
  "$@" &
  wait "$!"
}

# Ends every process started here: nodes end with their tests, and get the time for it.
tidy() {
  trap '' INT TERM HUP
  local deadline=$((SECONDS + ENDING))
  signal_all TERM
  while [ -n "$(started)" ] && [ "$SECONDS" -lt "$deadline" ]; do sleep 0.2; done
  signal_all KILL
  [ -z "$PARTIAL" ] || rm -rf "$PARTIAL"
}

signal_all() {
  local pid
  for pid in $(started); do kill "-$1" "$pid" 2>/dev/null || true; done
}

# A process that ends meanwhile, or belongs to another user, can't be read.
started() { grep -lzsx "HANDOFFD_COMPAT=$$" /proc/[0-9]*/environ | cut -d/ -f3 || true; }

cannot() {
  local line
  for line in "$@"; do [ -z "$line" ] || printf 'compat: %s\n' "$line" >&2; done
  exit 2
}

main "$@"
