#!/usr/bin/env bash
# `make crash`: kills the worker at every named point, and proves that the disk comes before the ack. Installs strace if
# it is missing and the user is permitted to; otherwise prints the package to install.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

main() {
  bash deploy/broker.sh ensure
  bash deploy/postgres.sh ensure
  ensure_strace
  cargo test --test it --no-run
  bash deploy/broker.sh run -- bash deploy/postgres.sh run -- cargo test --quiet --test it -- --nocapture --include-ignored --test-threads 1 \
    crash_matrix:: ack_order:: traced::
}

ensure_strace() {
  if ! command -v strace >/dev/null; then
    if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null; then
      fail "strace is not installed. Install it (Debian, Ubuntu: apt-get install --no-install-recommends strace)."
    fi
    echo "installing strace" >&2
    export DEBIAN_FRONTEND=noninteractive
    apt-get install -y -q --no-install-recommends strace >&2 ||
      { apt-get update -q >&2 && apt-get install -y -q --no-install-recommends strace >&2; }
  fi
  strace -D -f -qq -o /dev/null true ||
    fail "strace has no permission to trace (a container needs the capability SYS_PTRACE, or seccomp that allows ptrace)."
}

fail() {
  printf 'crash.sh: %s\n' "$*" >&2
  exit 1
}

main "$@"
