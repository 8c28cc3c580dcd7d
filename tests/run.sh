#!/usr/bin/env bash
# `make test`: runs every check, each with a summary line. All of them run even if one fails, except those of what could
# not be built; the exit status is then 1.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 1
PATH=$PATH:${HOME:-/root}/.cargo/bin

SUMMARY=()
STATUS=0
# Checks that were begun, and the folder with their output.
declare -A CHECKS=()
FOLDER=$(mktemp -d "${TMPDIR:-/tmp}/handoffd-test.XXXXXX")
trap 'rm -rf "$FOLDER"' EXIT

main() {
  need cargo "install Rust (rustup, or your system's package)"
  need_component fmt rustfmt
  need_component clippy clippy
  need clippy-driver "rustup component add clippy (or your system's package)"
  # Installs RabbitMQ if it is missing and the user is permitted to; otherwise prints the package to install.
  bash deploy/broker.sh ensure || exit 1
  bash deploy/postgres.sh ensure || exit 1
  # The same for a browser for the page; without one its tests report that they are skipped.
  bash tests/browser.sh ensure || SUMMARY+=("browser tests: SKIPPED, no browser found (see above)")
  runner formatting cargo fmt --check
  runner dependencies bash tests/dependencies.sh
  # The same for Prometheus, which one of the tests starts; without it the test reports that it is skipped.
  bash deploy/check.sh ensure || SUMMARY+=("Prometheus test: SKIPPED, no Prometheus found (see above)")
  lint_while_compiling
  # With the benches, so that they are linted too.
  if runner "build and lints" cargo test --quiet --no-run --all-targets; then
    begin deployment bash deploy/check.sh all
    begin demo make --no-print-directory demo
    runner tests tests
    runner "doc tests" cargo test --quiet --doc
    runner demo result_of demo
  fi
  runner deployment result_of deployment bash deploy/check.sh all
  printf '\n'
  printf '%s\n' "${SUMMARY[@]}"
  exit "$STATUS"
}

# Makes clippy's driver the compiler of this workspace, as `cargo clippy` does for its check: it lints what it compiles.
# A check of its own would read all the dependencies once more, which takes 110 s of a cold run (measured).
lint_while_compiling() {
  export RUSTC_WORKSPACE_WRAPPER=clippy-driver CLIPPY_ARGS=-Dwarnings__CLIPPY_HACKERY__
}

# Begins a check that waits for processes, as the tests do, so beside them it takes no time.
begin() {
  local name=$1
  shift
  "$@" >"$FOLDER/$name" 2>&1 &
  CHECKS[$name]=$!
}

# Ends a check that was begun, or makes it.
result_of() {
  local name=$1 result=0
  shift
  [[ -n ${CHECKS[$name]:-} ]] || { "$@"; return; }
  wait "${CHECKS[$name]}" || result=$?
  cat "$FOLDER/$name"
  return "$result"
}

# One private broker and one private PostgreSQL for all tests that do not start their own. Most tests wait for a broker or a clock and not for a
# processor: eight at a time for two processors.
tests() {
  local threads=$(($(nproc) * 4))
  export NEXTEST_TEST_THREADS=${NEXTEST_TEST_THREADS:-$threads} RUST_TEST_THREADS=${RUST_TEST_THREADS:-$threads}
  if cargo nextest --version >/dev/null 2>&1; then
    bash deploy/broker.sh run -- bash deploy/postgres.sh run -- cargo nextest run --no-fail-fast
  else
    bash deploy/broker.sh run -- bash deploy/postgres.sh run -- cargo test --no-fail-fast --lib --bins --tests
  fi
}

runner() {
  local name=$1 start=$SECONDS line result=ok
  shift
  printf '\n== %s\n' "$name"
  "$@" || result=FAILED STATUS=1
  line="$name: $result ($((SECONDS - start)) s)"
  printf '%s\n' "$line"
  SUMMARY+=("$line")
  [[ $result = ok ]]
}

need() {
  command -v "$1" >/dev/null && return 0
  printf '%s is missing: %s\n' "$1" "$2" >&2
  exit 1
}

need_component() {
  cargo "$1" --version >/dev/null 2>&1 && return 0
  printf 'cargo %s is missing: rustup component add %s\n' "$1" "$2" >&2
  exit 1
}

main "$@"
