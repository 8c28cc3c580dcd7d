#!/usr/bin/env bash
# Checks dependencies against .deny.toml: advisories, licences, sources. With cargo-deny (`cargo install --locked
# cargo-deny`, some minutes), which fetches the RustSec database; without one of them it checks the rest, and says so.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
PATH=$PATH:${HOME:-/root}/.cargo/bin

main() {
  if ! cargo deny --version >/dev/null 2>&1; then
    without_cargo_deny
    echo "dependencies: advisories NOT checked, cargo-deny is not installed (cargo install --locked cargo-deny)"
  elif timeout 120 cargo deny --locked fetch db; then
    cargo deny --locked check
  else
    cargo deny --locked check bans licenses sources
    echo "dependencies: advisories NOT checked, the RustSec database can't be fetched (see above)"
  fi
}

without_cargo_deny() {
  if ! python3 -c 'import tomllib' 2>/dev/null; then
    echo "dependencies: licences and sources NOT checked, python3 3.11 or newer is not installed"
    return
  fi
  cargo metadata --locked --all-features --format-version 1 --filter-platform x86_64-unknown-linux-gnu | python3 tests/dependencies.py
}

main "$@"
