#!/usr/bin/env bash
# A private PostgreSQL for tests: its own port, socket and data, removed when it is stopped.
#
#   postgres.sh ensure               installs Debian's postgresql if it is missing, without creating a cluster
#   postgres.sh start DIR [PRIMARY]  starts a cluster with all its state under DIR and prints its URL; with PRIMARY, the DIR
#                                    of a running one, as its streaming standby
#   postgres.sh stop DIR             stops the cluster
#   postgres.sh run -- COMMAND...    runs a command with a cluster, given to it in HANDOFFD_TEST_POSTGRES_URL
#
# `start` on a DIR used before restarts the same cluster, with the same data, port and options. Started by root, the
# cluster runs as user postgres, because PostgreSQL refuses to run as root.
# The cluster stops by itself when the process HANDOFFD_POSTGRES_OWNER (a pid) ends; with
# HANDOFFD_POSTGRES_TEMPORARY=yes DIR is removed too. HANDOFFD_POSTGRES_SETTINGS holds options of the server for the
# first start.
set -euo pipefail

START_LIMIT=60

main() {
  case "${1:-}" in
    ensure) ensure ;;
    start) start "${2:?usage: postgres.sh start DIR [PRIMARY]}" "${3:-}" ;;
    stop) stop "${2:?usage: postgres.sh stop DIR}" ;;
    run) shift; [ "${1:-}" = "--" ] && shift; run "$@" ;;
    *) sed -n '2,15s/^# \{0,1\}//p' "$0" >&2; exit 2 ;;
  esac
}

ensure() {
  [ -n "$(server_home)" ] && return 0
  if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null; then
    fail "PostgreSQL is not installed. Install it (Debian, Ubuntu: apt-get install --no-install-recommends postgresql)" \
      "or set POSTGRES_HOME to the folder that holds initdb and postgres."
  fi
  echo "installing postgresql" >&2
  # The package would create and start a cluster of the system's own.
  if [ ! -e /etc/postgresql-common/createcluster.conf ]; then
    mkdir -p /etc/postgresql-common
    echo "create_main_cluster = false" >/etc/postgresql-common/createcluster.conf
  fi
  export DEBIAN_FRONTEND=noninteractive
  local install=(apt-get install -y -q --no-install-recommends -o Dpkg::Options::=--force-confold postgresql)
  "${install[@]}" >&2 || { apt-get update -q >&2 && "${install[@]}" >&2; }
  [ -n "$(server_home)" ] || fail "postgresql could not be installed; see the output above."
}

# Prints the folder of the newest server programs, or nothing.
server_home() {
  local home
  for home in "${POSTGRES_HOME:-}" $(printf '%s\n' /usr/lib/postgresql/*/bin | sort -t/ -k5 -rn); do
    if [ -x "$home/initdb" ] && [ -x "$home/postgres" ]; then
      echo "$home"
      return 0
    fi
  done
}

start() {
  local home; home=$(server_home)
  [ -n "$home" ] || fail "PostgreSQL is not installed; run postgres.sh ensure"
  mkdir -p "$1"
  local dir; dir=$(cd "$1" && pwd)
  as_server
  [ "${#AS[@]}" -eq 0 ] || chown postgres "$dir"
  [ -f "$dir/data/PG_VERSION" ] || create "$dir" "$home" "${2:-}" >"$dir/create.log" 2>&1 ||
    { cat "$dir/create.log" >&2; fail "the cluster could not be created"; }
  [ -f "$dir/port" ] || free_port >"$dir/port"
  [ -f "$dir/settings" ] || echo "${HANDOFFD_POSTGRES_SETTINGS:-}" >"$dir/settings"
  # A killed server leaves its lock files, and a pid that nobody has reaped yet looks alive.
  if [ -f "$dir/group" ] && is_dead "$(cat "$dir/group")"; then
    rm -f "$dir/data/postmaster.pid" "$dir"/.s.PGSQL.*
  fi
  launch "$dir" "$home"
  watch_over "$dir" "$(cat "$dir/group")"
  await_up "$dir" "$home"
  echo "postgres://postgres@127.0.0.1:$(cat "$dir/port")/postgres?sslmode=disable"
}

create() {
  local dir=$1 home=$2 primary=$3
  if [ -n "$primary" ]; then
    "${AS[@]}" "$home/pg_basebackup" --no-sync -c fast -R -h 127.0.0.1 -p "$(cat "$primary/port")" -U postgres -D "$dir/data"
  else
    "${AS[@]}" "$home/initdb" --no-sync -A trust -U postgres -E UTF8 --locale=C -D "$dir/data"
  fi
}

# Starts the server in a process group of its own, so that a test can kill all of it at once.
launch() {
  local dir=$1 home=$2 port; port=$(cat "$dir/port")
  # shellcheck disable=SC2046 # several options
  setsid "${AS[@]}" "$home/postgres" -D "$dir/data" -c listen_addresses=127.0.0.1 -c port="$port" \
    -c unix_socket_directories="$dir" -c max_connections=200 $(cat "$dir/settings") \
    >>"$dir/log" 2>&1 </dev/null &
  echo $! >"$dir/group"
}

# Chooses how the server's programs are run: AS, followed by the program.
as_server() {
  AS=()
  [ "$(id -u)" -ne 0 ] || AS=(setpriv --reuid=postgres --regid=postgres --init-groups)
}

# Picks a free port below the range of ephemeral ports. If another process takes it first, the server reports that.
free_port() {
  local port
  while :; do
    port=$((20000 + (RANDOM * 32768 + RANDOM) % 12000))
    (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null || break
  done
  echo "$port"
}

is_dead() {
  local state; state=$(sed -n 's/^State:[[:space:]]*\(.\).*/\1/p' "/proc/$1/status" 2>/dev/null || true)
  [ -z "$state" ] || [ "$state" = Z ]
}

await_up() {
  local dir=$1 home=$2 deadline=$((SECONDS + START_LIMIT))
  while [ "$SECONDS" -lt "$deadline" ]; do
    kill -0 "$(cat "$dir/group")" 2>/dev/null || { tail -n 20 "$dir/log" >&2; fail "the server ended while it started"; }
    "$home/pg_isready" -q -U postgres -h 127.0.0.1 -p "$(cat "$dir/port")" && return 0
    sleep 0.1
  done
  stop "$dir"
  fail "the server did not start within $START_LIMIT s"
}

# Stops the cluster once its owner has ended.
watch_over() {
  local dir=$1 group=$2 owner=${HANDOFFD_POSTGRES_OWNER:-} temporary=${HANDOFFD_POSTGRES_TEMPORARY:-}
  [ -n "$owner" ] || return 0
  (
    trap '' INT TERM HUP
    while kill -0 "$owner" 2>/dev/null && [ "$(cat "$dir/group" 2>/dev/null)" = "$group" ]; do sleep 1; done
    [ "$(cat "$dir/group" 2>/dev/null)" = "$group" ] && stop "$dir"
    kill -0 "$owner" 2>/dev/null || [ -z "$temporary" ] || rm -rf "$dir"
  ) >/dev/null 2>&1 </dev/null &
  disown
}

# Asks the server for a fast shutdown (SIGINT), and kills what is left of it after 10 s.
stop() {
  [ -f "$1/group" ] || return 0
  local group tries=0
  group=$(cat "$1/group")
  kill -INT "$group" 2>/dev/null || true
  while kill -0 -- "-$group" 2>/dev/null && [ "$tries" -lt 100 ]; do
    sleep 0.1
    tries=$((tries + 1))
  done
  kill -KILL -- "-$group" 2>/dev/null || true
  rm -f "$1/group"
}

run() {
  [ "$#" -gt 0 ] || fail "usage: postgres.sh run -- COMMAND..."
  RUN_DIR=$(mktemp -d "${TMPDIR:-/tmp}/handoffd-postgres.XXXXXX")
  trap 'stop "$RUN_DIR"; rm -rf "$RUN_DIR"' EXIT
  trap 'exit 130' INT
  trap 'exit 143' TERM
  local url status=0
  url=$(HANDOFFD_POSTGRES_OWNER=$$ HANDOFFD_POSTGRES_TEMPORARY=yes "$0" start "$RUN_DIR")
  HANDOFFD_TEST_POSTGRES_URL=$url "$@" || status=$?
  exit "$status"
}

fail() {
  printf 'postgres.sh: %s\n' "$*" >&2
  exit 1
}

main "$@"
