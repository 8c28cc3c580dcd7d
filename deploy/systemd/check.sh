#!/usr/bin/env bash
# Checks the installation for systemd and the wrapper /usr/bin/handoffd, in a folder of its own and without systemd running:
#
#   deploy/systemd/check.sh SCRATCH
#
# The installation is skipped without root or without systemd-sysusers and systemd-tmpfiles.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
SCRATCH=$1/systemd
INSTALLED=$SCRATCH/root
STUBS=$SCRATCH/stubs

main() {
  mkdir -p "$STUBS" "$INSTALLED"
  if [ "$(id -u)" -eq 0 ] && command -v systemd-sysusers systemd-tmpfiles >/dev/null; then
    installation
    echo "systemd: installed files have their owners and modes"
  else
    printf 'skipped, needs root, systemd-sysusers and systemd-tmpfiles: %s\n' "modes of the installed files"
  fi
  wrapper
  echo "systemd: the wrapper runs commands as the worker does"
}

installation() {
  local token config=$INSTALLED/etc/handoffd/handoffd.toml
  echo 'one' >"$SCRATCH/program"
  # No mode may depend on the umask of who installs.
  (umask 000; ROOT=$INSTALLED ./install.sh "$SCRATCH/program" >/dev/null)
  token=$(cat "$INSTALLED/etc/handoffd/secrets/http-token")
  [[ $token =~ ^[0-9a-f]{32}$ ]] || fail "the generated token is not 32 hexadecimal digits"
  modes
  [ -z "$(find "$INSTALLED/usr" -perm /022)" ] || fail "others than root may write to $(find "$INSTALLED/usr" -perm /022 | head -1)"
  # An upgrade replaces the program, keeps what the operator has, and closes what was left open.
  echo '# own' >>"$config"
  echo 'two' >"$SCRATCH/program"
  touch "$INSTALLED/etc/handoffd/organizations/acme.toml" "$INSTALLED/etc/handoffd/environment"
  chmod 0666 "$INSTALLED/etc/handoffd/organizations/acme.toml" "$INSTALLED/etc/handoffd/environment" "$INSTALLED/etc/handoffd/secrets/http-token" "$config"
  ROOT=$INSTALLED ./install.sh "$SCRATCH/program" >/dev/null
  modes environment organizations/acme.toml
  [ "$(cat "$INSTALLED/etc/handoffd/secrets/http-token")" = "$token" ] || fail "an upgrade replaces the token"
  grep -q '^# own$' "$config" || fail "an upgrade replaces the configuration"
  [ "$(cat "$INSTALLED/usr/lib/handoffd/handoffd")" = two ] || fail "an upgrade keeps the old program"
}

# modes OTHER-FILE-OF-THE-CONFIGURATION…
modes() {
  local group file
  group=$(sed -n 's/^handoffd:x:[0-9]*:\([0-9]*\):.*/\1/p' "$INSTALLED/etc/passwd")
  (cd "$INSTALLED" && find etc/handoffd usr \( -type f -o -path 'etc/*' \) -printf '%m %U:%G %p\n' | sort -k3) >"$SCRATCH/found"
  cat >"$SCRATCH/expected" <<END
750 0:$group etc/handoffd
640 0:$group etc/handoffd/handoffd.toml
750 0:$group etc/handoffd/organizations
750 0:$group etc/handoffd/secrets
640 0:$group etc/handoffd/secrets/http-token
755 0:0 usr/bin/handoffd
755 0:0 usr/lib/handoffd/handoffd
644 0:0 usr/lib/systemd/system/handoffd.service
644 0:0 usr/lib/sysusers.d/handoffd.conf
644 0:0 usr/lib/tmpfiles.d/handoffd.conf
END
  for file; do
    echo "640 0:$group etc/handoffd/$file" >>"$SCRATCH/expected"
  done
  sort -k3 -o "$SCRATCH/expected" "$SCRATCH/expected"
  diff "$SCRATCH/expected" "$SCRATCH/found" || fail "owners or modes differ"
}

# The wrapper on stubs: the program prints its arguments and what it was given.
wrapper() {
  local root=$SCRATCH/wrapped words
  local config=$root/etc/handoffd/handoffd.toml
  mkdir -p "$root/usr/lib/handoffd" "$root/etc/handoffd"
  # shellcheck disable=SC2016
  {
    stub "$root/usr/lib/handoffd/handoffd" \
      'echo "$* | ${AS:-caller} ${HANDOFFD_CONFIG:--} ${ACME:--} ${HOME:--} ${SUDO_USER:--} ${NOTIFY_SOCKET:--}"'
    stub "$STUBS/setpriv" 'AS=$1; while [ "$1" != -- ]; do shift; done; shift; AS=$AS exec "$@"'
    stub "$STUBS/id" 'case $1 in -u) echo "${CALLER:-0}" ;; *) echo alice ;; esac'
    stub "$STUBS/systemctl" 'echo "${MAIN_PID:-0}"'
  }
  printf '%s\n' '# comment' '' " ACME='s3 \"cret'" 'HANDOFFD_LOG__LEVEL=debug' >"$root/etc/handoffd/environment"
  touch "$config"

  expect "status | --reuid=handoffd $config s3 \"cret /home root -" "" status
  expect "status --json | --reuid=handoffd $config s3 \"cret /home alice -" SUDO_USER=alice status --json
  for words in "org save acme.toml" "publish e.json" "explain e.json" "dead-letters replay --id x --patch p.json"; do
    # shellcheck disable=SC2086
    expect "$words | caller $config s3 \"cret /home - -" "" $words
  done
  expect "status | --reuid=handoffd $config own /home root -" ACME=own status
  for words in "--config own.toml status" "status --config=own.toml"; do
    # shellcheck disable=SC2086
    expect "$words | caller - - /home - -" "" $words
  done
  expect "status | caller own.toml - /home - -" HANDOFFD_CONFIG=own.toml status
  expect "status | caller $config s3 \"cret /home - -" CALLER=1000 status

  # The environment of a running worker, which `systemctl edit` may have changed.
  env -i HANDOFFD_CONFIG=/run/other.toml ACME="$(printf 'two\nlines')" HOME=/nowhere NOTIFY_SOCKET=/run/notify "$(command -v sleep)" 60 &
  local worker=$!
  # shellcheck disable=SC2064
  trap "kill $worker 2>/dev/null || true" EXIT
  until [ "$(cat "/proc/$worker/comm")" = sleep ]; do :; done
  expect "status | --reuid=handoffd /run/other.toml $(printf 'two\nlines') /home root -" "MAIN_PID=$worker" status
  kill "$worker"

  if [ "$(id -u)" -eq 0 ] && command -v setpriv >/dev/null; then
    refused "$root" "$config"
  fi
}

# A user who may not read the configuration gets advice.
refused() {
  local said
  chmod 0600 "$2"
  chmod 0755 "$1/etc/handoffd"
  if said=$(env -i "PATH=$STUBS:$PATH" CALLER=65533 HANDOFFD_ROOT="$1" /usr/bin/setpriv --reuid=65533 --regid=65533 --clear-groups -- \
    bash -s status <handoffd.sh 2>&1); then
    fail "a user without permission is not refused"
  fi
  [[ $said == *"sudo handoffd"* ]] || fail "a user without permission gets: $said"
}

# expect OUTPUT VARIABLE=VALUE-or-empty WORD…
expect() {
  local expected=$1 variable=$2 found
  shift 2
  found=$(env -i "PATH=$STUBS:$PATH" HOME=/home HANDOFFD_ROOT="$SCRATCH/wrapped" ${variable:+"$variable"} bash ./handoffd.sh "$@")
  [ "$found" = "$expected" ] || fail "$(printf 'handoffd %s\n  runs     %s\n  expected %s' "$*" "$found" "$expected")"
}

stub() {
  printf '#!/bin/bash\n%s\n' "$2" >"$1"
  chmod 755 "$1"
}

fail() {
  printf 'systemd/check.sh: %s\n' "$*" >&2
  exit 1
}

main
