#!/usr/bin/env bash
# Installs the Debian package of an executable that is built already into a folder of its own, upgrades, removes and purges it:
#
#   deploy/debian/check.sh SCRATCH MOST_EXPOSED
#
# MOST_EXPOSED is the limit for systemd-analyze security, in tenths. Skipped without root or without dpkg.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
SCRATCH=$1/debian MOST_EXPOSED=$2
ROOT=$SCRATCH/root
PACKAGE=$SCRATCH/handoffd.deb
# What an installation may leave beside configuration and data: the user, who owns the data, and dpkg's own records.
OF_THE_SYSTEM='^(etc/(\.pwd\.lock|(passwd|group|shadow|gshadow)-?)|var/lib/dpkg/.*)$'

main() {
  local program need
  program=$(find ../../target/debug/handoffd ../../target/release/handoffd -printf '%T@ %p\n' 2>/dev/null | sort -n | tail -n 1 | cut -d' ' -f2 || true)
  [ -n "$program" ] || skip "an executable (cargo build)"
  [ "$(id -u)" -eq 0 ] || skip root
  for need in dpkg dpkg-deb objcopy objdump systemd-sysusers systemd-tmpfiles; do
    command -v "$need" >/dev/null || skip "$need"
  done
  mkdir -p "$ROOT"/var/lib/dpkg/{info,updates} "$ROOT"/etc/systemd/system
  touch "$ROOT/var/lib/dpkg/status"
  objcopy --strip-all "$program" "$SCRATCH/handoffd"
  reproducible
  installed
  upgraded
  removed
  purged
  echo "debian: the package is installed with its owners and modes, and removed without a trace but configuration and data"
}

reproducible() {
  local again=$SCRATCH/again.deb
  # No mode may depend on the umask of who builds.
  (umask 000; COMPRESSION=none SOURCE_DATE_EPOCH=1700000000 ./build.sh "$SCRATCH/handoffd" "$PACKAGE")
  COMPRESSION=none SOURCE_DATE_EPOCH=1700000000 ./build.sh "$SCRATCH/handoffd" "$again"
  cmp "$PACKAGE" "$again" || fail "two builds of the package differ"
  rm "$again"
}

installed() {
  package --install "$PACKAGE"
  [[ $(cat "$ROOT/etc/handoffd/secrets/http-token") =~ ^[0-9a-f]{32}$ ]] || fail "the generated token is not 32 hexadecimal digits"
  modes
  [ -z "$(find "$ROOT/usr" -perm /022)" ] || fail "others than root may write to $(find "$ROOT/usr" -perm /022 | head -n 1)"
  [ -z "$(find "$ROOT/usr" -not -user 0 -o -not -group 0)" ] || fail "$(find "$ROOT/usr" -not -user 0 -o -not -group 0 | head -n 1) is not root's"
  [ -z "$(find "$ROOT/usr" -type f -perm /111 -not -path '*/usr/bin/handoffd' -not -path '*/usr/lib/handoffd/handoffd')" ] ||
    fail "files are executable that are no programs"
  [ -z "$(ls "$ROOT/etc/systemd/system")" ] || fail "the installation enables the unit"
  unit
}

unit() {
  command -v systemd-analyze >/dev/null || { echo "skipped, systemd-analyze is not installed: the installed unit"; return 0; }
  local unit=$ROOT/usr/lib/systemd/system/handoffd.service program=/usr/lib/handoffd/handoffd verified=$SCRATCH/verified/handoffd.service
  grep -q "^ExecStart=$program run$" "$unit" && [ -x "$ROOT$program" ] || fail "the unit starts a program that is not installed"
  mkdir -p "$SCRATCH/verified"
  sed "s#^ExecStart=/#ExecStart=$ROOT/#" "$unit" >"$verified"
  systemd-analyze verify --man=no "$verified" >"$SCRATCH/verify" 2>&1 || { cat "$SCRATCH/verify"; fail "systemd-analyze verify"; }
  [ ! -s "$SCRATCH/verify" ] || { cat "$SCRATCH/verify"; fail "systemd-analyze verify warns"; }
  # Available since systemd 250.
  if systemd-analyze security --help 2>&1 | grep -q -- --offline; then
    systemd-analyze security --offline=true --threshold="$MOST_EXPOSED" --no-pager "$unit" >"$SCRATCH/security" ||
      { cat "$SCRATCH/security"; fail "the installed unit is too exposed"; }
  fi
}

# An upgrade keeps what the operator has, and closes what was left open.
upgraded() {
  local token config=$ROOT/etc/handoffd
  token=$(cat "$config/secrets/http-token")
  echo '# own' >>"$config/handoffd.toml"
  touch "$config/environment" "$config/organizations/acme.toml" "$config/secrets/acme"
  chmod 0666 "$config"/{environment,handoffd.toml,organizations/acme.toml,secrets/acme,secrets/http-token}
  package --install "$PACKAGE"
  modes environment organizations/acme.toml secrets/acme
  grep -q '^# own$' "$config/handoffd.toml" || fail "an upgrade replaces the configuration"
  [ "$(cat "$config/secrets/http-token")" = "$token" ] || fail "an upgrade replaces the token"
}

removed() {
  install -d -m 0700 "$ROOT/var/lib/handoffd"
  touch "$ROOT/var/lib/handoffd/handoffd.sled"
  systemctl --quiet --root="$ROOT" enable handoffd.service
  package --remove handoffd
  left "$(printf '%s\n' etc/handoffd/{environment,handoffd.toml,organizations/acme.toml,secrets/acme,secrets/http-token} var/lib/handoffd/handoffd.sled)"
}

purged() {
  package --purge handoffd
  left var/lib/handoffd/handoffd.sled
  grep -q ^handoffd: "$ROOT/etc/passwd" || fail "a purge removes the user, who owns the data"
  package --install "$PACKAGE"
  rm "$ROOT/var/lib/handoffd/handoffd.sled"
  package --purge handoffd
  left ''
  ! grep -q ^handoffd: "$ROOT"/etc/{passwd,group} || fail "a purge without data keeps the user"
}

package() {
  dpkg --root="$ROOT" --log=/dev/null --force-script-chrootless --force-depends --force-unsafe-io "$@" >"$SCRATCH/dpkg" 2>&1 ||
    { cat "$SCRATCH/dpkg"; fail "dpkg $1"; }
}

# left FILES: what is there beside the system's.
left() {
  (cd "$ROOT" && find . -not -type d -printf '%P\n' | grep -Ev "$OF_THE_SYSTEM" | LC_ALL=C sort || true) >"$SCRATCH/found"
  printf '%s' "${1:+$1$'\n'}" | LC_ALL=C sort | diff - "$SCRATCH/found" || fail "the removal leaves other files than expected"
}

# modes OTHER-FILE-OF-THE-CONFIGURATION…
modes() {
  local group file
  group=$(sed -n 's/^handoffd:x:[0-9]*:\([0-9]*\):.*/\1/p' "$ROOT/etc/passwd")
  {
    printf "750 0:$group %s\n" . organizations secrets
    for file in handoffd.toml secrets/http-token "$@"; do echo "640 0:$group $file"; done
  } | sort -k3 >"$SCRATCH/expected"
  (cd "$ROOT/etc/handoffd" && find . -printf '%m %U:%G %P\n' | sed 's/ $/ ./' | sort -k3) | diff "$SCRATCH/expected" - || fail "owners or modes differ"
}

skip() {
  printf 'skipped, needs %s: %s\n' "$1" "the Debian package"
  exit 0
}

fail() {
  printf 'debian/check.sh: %s\n' "$*" >&2
  exit 1
}

main
