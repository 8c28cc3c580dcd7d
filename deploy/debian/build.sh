#!/usr/bin/env bash
# Builds a Debian package of an executable, the same bytes for the same files and SOURCE_DATE_EPOCH:
#
#   deploy/debian/build.sh target/release/handoffd handoffd.deb
#
# COMPRESSION=none|gzip|xz|zstd (xz).
set -euo pipefail
HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
PROJECT=$(cd "$HERE/../.." && pwd)
PROGRAM=$(realpath "${1:?the executable}") OUTPUT=${2:?the package}
STAGE=$(mktemp -d "${TMPDIR:-/tmp}/handoffd-deb.XXXXXX")
trap 'rm -rf "$STAGE"' EXIT
DOCUMENTS=$STAGE/usr/share/doc/handoffd

main() {
  umask 022
  chmod 755 "$STAGE"
  ROOT=$STAGE "$PROJECT/deploy/systemd/install.sh" --stage "$PROGRAM"
  install -d -m 0750 "$STAGE/etc/handoffd"
  install -m 0640 "$PROJECT/deploy/systemd/handoffd.toml" "$STAGE/etc/handoffd/handoffd.toml"
  documents
  control
  find "$STAGE" -exec touch --no-dereference --date="@${SOURCE_DATE_EPOCH:-$(date +%s)}" {} +
  dpkg-deb --root-owner-group --uniform-compression "-Z${COMPRESSION:-xz}" --build "$STAGE" "$OUTPUT" >/dev/null
}

documents() {
  local file
  mkdir -p "$DOCUMENTS/examples" "$STAGE/usr/share/man/man1" "$STAGE/usr/share/bash-completion/completions"
  cp "$PROJECT"/README.md "$PROJECT"/docs/*.md "$DOCUMENTS"
  for file in config/handoffd.toml config/organizations/example.toml.sample deploy/rabbitmq/definitions.json deploy/prometheus/rules.yaml; do
    cp "$PROJECT/$file" "$DOCUMENTS/examples/$(basename "$file")"
  done
  cp "$PROJECT/deploy/grafana/handoffd.json" "$DOCUMENTS/examples/dashboard.json"
  "$PROGRAM" man | gzip -9n >"$STAGE/usr/share/man/man1/handoffd.1.gz"
  "$PROGRAM" completions bash >"$STAGE/usr/share/bash-completion/completions/handoffd"
}

control() {
  local version libc
  version=$(sed -n '/^\[workspace.package\]/,/^version/s/^version = "\(.*\)"/\1/p' "$PROJECT/Cargo.toml")
  # The newest symbol of the C library that the program requires.
  libc=$(objdump -T "$PROGRAM" | grep -o 'GLIBC_[0-9.]*' | sort -uV | tail -n 1)
  install -d "$STAGE/DEBIAN"
  install -m 0755 "$HERE/postinst" "$HERE/prerm" "$HERE/postrm" "$STAGE/DEBIAN"
  echo /etc/handoffd/handoffd.toml >"$STAGE/DEBIAN/conffiles"
  (cd "$STAGE" && find usr -type f -print0 | LC_ALL=C sort -z | xargs -0 md5sum) >"$STAGE/DEBIAN/md5sums"
  cat >"$STAGE/DEBIAN/control" <<END
Package: handoffd
Version: ${version/-/\~}
Architecture: $(dpkg --print-architecture)
Maintainer: handoffd's maintainers <handoffd@localhost>
Installed-Size: $(du -sk --apparent-size --exclude=DEBIAN "$STAGE" | cut -f1)
Depends: bash, ca-certificates, libc6 (>= ${libc#GLIBC_}), libgcc-s1, systemd, util-linux
Section: net
Priority: optional
Description: carries OpenCX handoffs from RabbitMQ into Dynamics 365
 A conversation that needs a person becomes a case or a live work item in
 Microsoft Dynamics 365, exactly once in effect, and is closed when the
 conversation is resolved.
END
}

main
