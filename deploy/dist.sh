#!/usr/bin/env bash
# `make dist`: builds what is given to others into target/dist: executables (stripped, their symbols beside them), tarball,
# Debian package, container context, bill of materials, checksums. Times and order come from the last commit, so that the same
# commit, compiler and system give the same bytes.
#
#   BUILT=target/debug   takes executables that are built already, for trials
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
PATH=$PATH:${HOME:-/root}/.cargo/bin
OUT=$PWD/target/dist
VERSION=$(sed -n '/^\[workspace.package\]/,/^version/s/^version = "\(.*\)"/\1/p' Cargo.toml)
NAME=handoffd-$VERSION-$(uname -m)-linux
# Limit for the stripped worker, in MiB.
LARGEST=25

main() {
  local need
  for need in cargo git objcopy objdump strings dpkg-deb python3; do
    command -v "$need" >/dev/null || fail "$need is missing (Debian, Ubuntu: git binutils dpkg python3; cargo: rustup)"
  done
  python3 -c 'import tomllib' 2>/dev/null || fail "python3 is older than 3.11"
  [ -z "$(git status --porcelain)" ] || echo "dist.sh: uncommitted changes: the result can't be built again from a commit" >&2
  SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct)}
  export SOURCE_DATE_EPOCH LC_ALL=C TZ=UTC
  umask 022
  PREBUILT=${BUILT:-}
  [ -n "$PREBUILT" ] || build
  BUILT=$(realpath "$BUILT")
  rm -rf "$OUT"
  mkdir -p "$OUT"
  strip_symbols handoffd
  strip_symbols dynamics-simulator
  small_enough
  [ -n "${PREBUILT:-}" ] || { without_paths_of_this_machine && with_settings_of_the_allocator; }
  python3 deploy/sbom.py "$OUT/handoffd" >"$OUT/$NAME.cdx.json"
  deploy/debian/build.sh "$OUT/handoffd" "$OUT/handoffd_${VERSION/-/\~}_$(dpkg --print-architecture).deb"
  tarball
  container
  (cd "$OUT" && find . -type f -not -name SHA256SUMS -printf '%P\0' | sort -z | xargs -0 sha256sum >SHA256SUMS)
  ls -lh "$OUT"
}

# The folders of this machine become part of no executable, and of no symbols: Rust's and those of C sources in crates.
build() {
  local home=${CARGO_HOME:-$HOME/.cargo} sysroot flags
  sysroot=$(rustc --print sysroot)
  flags=("--remap-path-prefix=$PWD=/usr/src/handoffd" "--remap-path-prefix=$home=/usr/src/cargo")
  # Holds the standard library's sources where they are installed.
  flags+=("--remap-path-prefix=$sysroot=/usr/src/rust")
  export CFLAGS="${CFLAGS:-} -ffile-prefix-map=$PWD=/usr/src/handoffd -ffile-prefix-map=$home=/usr/src/cargo"
  set -a
  . deploy/allocator.env
  set +a
  CARGO_ENCODED_RUSTFLAGS=$(IFS=$'\037'; echo "${flags[*]}") cargo build --release --locked --workspace --bins --features handoffd/jemalloc
  BUILT=target/release
}

# Without them the worker runs the same, but takes more memory, and nobody would see why.
with_settings_of_the_allocator() {
  grep -qaF "$JEMALLOC_SYS_WITH_MALLOC_CONF" "$BUILT/handoffd" || fail "handoffd lacks the settings of deploy/allocator.env"
}

strip_symbols() {
  objcopy --only-keep-debug "$BUILT/$1" "$OUT/$1.debug"
  chmod 644 "$OUT/$1.debug"
  (cd "$OUT" && objcopy --strip-all --add-gnu-debuglink="$1.debug" "$BUILT/$1" "$1")
}

small_enough() {
  local bytes
  bytes=$(stat -c %s "$OUT/handoffd")
  [ "$bytes" -le $((LARGEST * 1024 * 1024)) ] || fail "handoffd has $bytes bytes without symbols, more than $LARGEST MiB"
}

# Searches executables and symbols for the folders that the build knew.
without_paths_of_this_machine() {
  local path file
  for path in "$PWD" "${CARGO_HOME:-$HOME/.cargo}" "$(rustc --print sysroot)" "$HOME/" "${TMPDIR:-/tmp}/rustc"; do
    for file in "$OUT"/{handoffd,dynamics-simulator}{,.debug}; do
      ! grep -qaF -e "$path" "$file" || fail "$file contains $path: $(strings -a "$file" | grep -F -e "$path" | head -n 1)"
    done
  done
}

tarball() {
  local stage folder=target/tmp/$NAME
  rm -rf "$folder"
  mkdir -p "$folder/deploy/debian"
  stage=$(dirname "$folder")
  cp "$OUT/handoffd" README.md "$folder"
  cp "$OUT/$NAME.cdx.json" "$folder/sbom.cdx.json"
  cp -R config docs "$folder"
  cp -R deploy/{grafana,kubernetes,prometheus,rabbitmq,systemd} "$folder/deploy"
  cp deploy/debian/postinst "$folder/deploy/debian"
  rm "$folder/deploy/systemd/check.sh" "$folder/deploy/prometheus/rules_test.yaml"
  # No mode depends on the umask of the checkout.
  chmod -R u=rwX,go=rX "$folder"
  tar --create --format=gnu --sort=name --owner=0 --group=0 --numeric-owner --mtime="@$SOURCE_DATE_EPOCH" -C "$stage" "$NAME" | gzip -9n >"$OUT/$NAME.tar.gz"
  rm -rf "$folder"
}

# deploy/Dockerfile without the stages that compile.
container() {
  local context=$OUT/container
  mkdir -p "$context/organizations" "$context/data"
  chmod 0750 "$context/data"
  cp "$OUT/handoffd" config/handoffd.toml deploy/container/{passwd,group} "$context"
  {
    echo '# syntax=docker/dockerfile:1'
    echo "# handoffd $VERSION in a container: docker build -t handoffd:$VERSION ."
    sed -e '/^#.*handoffd in a container/,/^ARG BUILDER/d' -e '/^# syntax/d' -e '/^FROM ${BUILDER}/,/^$/d' -e '/AS simulator$/,/^$/d' \
      -e '/^# The last stage/d' -e 's# --from=build##' -e 's#/out/##g' deploy/Dockerfile
  } >"$context/Dockerfile"
  ! grep -n 'build\b.*/\|BUILDER\|simulator' <(tail -n +3 "$context/Dockerfile") || fail "the container context names what it does not have"
}

fail() {
  printf 'dist.sh: %s\n' "$*" >&2
  exit 1
}

main "$@"
