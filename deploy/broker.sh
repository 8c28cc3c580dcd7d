#!/usr/bin/env bash
# A private RabbitMQ for tests and for the demo: its own ports, data and epmd, removed when it is stopped.
#
#   broker.sh ensure               installs Debian's rabbitmq-server if it is missing, without starting it
#   broker.sh start DIR [PEER]     starts a node with all its state under DIR and prints its AMQP URL; with PEER, the DIR
#                                  of a running node, it joins that node's cluster
#   broker.sh stop DIR             stops the node and its epmd
#   broker.sh ctl DIR ARGUMENTS... runs rabbitmqctl on it
#   broker.sh eval DIR EXPRESSION  evaluates an Erlang expression on it and prints the value
#   broker.sh run -- COMMAND...    runs a command with a node, given to it in AMQP_URL and HANDOFFD_TEST_AMQP_URL
#
# `start` on a DIR used before restarts the same node, with the same data, ports and cluster. HANDOFFD_BROKER_SETTINGS
# holds further lines of rabbitmq.conf for the first start.
# The node stops by itself when the process HANDOFFD_BROKER_OWNER (a pid) ends, or after 30 minutes
# (HANDOFFD_BROKER_LIFE, in seconds, 0 for no limit); with HANDOFFD_BROKER_TEMPORARY=yes DIR is removed too.
# HANDOFFD_BROKER_ROOT is the root folder of another system whose RabbitMQ is started instead of this system's, as
# root only (`make compat`). A DIR keeps the root folder of its first start.
set -euo pipefail

SERVER_HOME=${RABBITMQ_SERVER_HOME:-/usr/lib/rabbitmq/bin}
# Starts took 2.9 to 25.8 s, after a SIGKILL up to 50.2 s (measured on two cores).
START_LIMIT=120

main() {
  case "${1:-}" in
    ensure) ensure ;;
    start) start "${2:?usage: broker.sh start DIR [PEER]}" "${3:-}" ;;
    stop) stop "${2:?usage: broker.sh stop DIR}" ;;
    ctl) shift; ctl "$@" ;;
    eval) shift; evaluate "$@" ;;
    run) shift; [ "${1:-}" = "--" ] && shift; run "$@" ;;
    *) sed -n '2,18s/^# \{0,1\}//p' "$0" >&2; exit 2 ;;
  esac
}

ensure() {
  installed && return 0
  if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null; then
    fail "RabbitMQ is not installed. Install it (Debian, Ubuntu: apt-get install --no-install-recommends rabbitmq-server)" \
      "or point RABBITMQ_SERVER_HOME to the folder that holds rabbitmq-server and rabbitmqctl."
  fi
  echo "installing rabbitmq-server" >&2
  # A policy-rc.d that returns 101 prevents the package from starting its service; an existing one stays.
  local policy=/usr/sbin/policy-rc.d made=
  local before; before=$(epmds)
  if [ ! -e "$policy" ]; then
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod 755 "$policy"
    made=yes
  fi
  local status=0
  install_package || status=$?
  [ -z "$made" ] || rm -f "$policy"
  end_new_epmds "$before"
  if [ "$status" -ne 0 ] || ! installed; then
    fail "rabbitmq-server could not be installed; see the output above."
  fi
}

install_package() {
  export DEBIAN_FRONTEND=noninteractive
  apt-get install -y -q --no-install-recommends rabbitmq-server >&2 && return 0
  apt-get update -q >&2
  apt-get install -y -q --no-install-recommends rabbitmq-server >&2
}

installed() { [ -x "${1:-}$SERVER_HOME/rabbitmq-server" ] && [ -x "${1:-}$SERVER_HOME/rabbitmqctl" ]; }

# The package's scripts leave an epmd running; one that ran before belongs to another process and stays.
epmds() { pgrep -x epmd 2>/dev/null | sort || true; }

end_new_epmds() {
  comm -13 <(printf '%s\n' "$1") <(epmds) | while read -r pid; do
    [ -z "$pid" ] || kill "$pid" 2>/dev/null || true
  done
}

start() {
  if [ -n "${HANDOFFD_BROKER_ROOT:-}" ]; then
    installed "$HANDOFFD_BROKER_ROOT" || fail "RabbitMQ is not installed in $HANDOFFD_BROKER_ROOT"
  else
    installed || fail "RabbitMQ is not installed; run broker.sh ensure"
  fi
  mkdir -p "$1"
  local dir; dir=$(cd "$1" && pwd)
  [ -f "$dir/ports" ] || pick_ports >"$dir/ports"
  [ -f "$dir/settings" ] || printf '%s\n' "${HANDOFFD_BROKER_SETTINGS:-}" >"$dir/settings"
  [ -z "${2:-}" ] || [ -f "$dir/peer" ] || join "$dir" "$2"
  prepare "$dir"
  # Mnesia dumps its state into the working directory.
  cd "$dir"
  setsid "${INSIDE[@]}" "$SERVER_HOME/rabbitmq-server" >>"$dir/out" 2>&1 </dev/null &
  echo $! >"$dir/group"
  watch_over "$dir" "$!"
  await_up "$dir"
  echo "amqp://guest:guest@127.0.0.1:$RABBITMQ_NODE_PORT/%2f"
}

# Nodes of a cluster find each other by one epmd and trust each other by one cookie.
join() {
  local dir=$1 peer=$2 amqp dist epmd
  read -r amqp dist _ <"$dir/ports"
  read -r _ _ epmd <"$peer/ports"
  echo "$amqp $dist $epmd" >"$dir/ports"
  mkdir -p "$dir/home"
  cp -p "$peer/home/.erlang.cookie" "$dir/home/"
  node_name "$peer" >"$dir/peer"
}

node_name() {
  local amqp
  read -r amqp _ _ <"$1/ports"
  echo "handoffd-$amqp@localhost"
}

# Isolates everything that a node would otherwise share with another node or with the system's.
prepare() {
  local dir=$1 amqp dist epmd
  choose_root "$dir"
  read -r amqp dist epmd <"$dir/ports"
  mkdir -p "$dir/home" "$dir/mnesia" "$dir/log" "$dir/schema" "$dir/generated"
  printf '[].\n' >"$dir/enabled_plugins"
  # The smallest disk alarm, so that a nearly full disk does not block a test; quiet logs.
  printf 'disk_free_limit.absolute = 1MB\nlog.file.level = warning\nlog.console = false\n' >"$dir/rabbitmq.conf"
  cat "$dir/settings" >>"$dir/rabbitmq.conf"
  [ ! -f "$dir/peer" ] || printf 'cluster_formation.classic_config.nodes.1 = %s\n' "$(cat "$dir/peer")" >>"$dir/rabbitmq.conf"
  export HOME=$dir/home ERL_CRASH_DUMP=$dir/erl_crash.dump
  RABBITMQ_NODENAME=$(node_name "$dir")
  export RABBITMQ_NODENAME
  export RABBITMQ_NODE_IP_ADDRESS=127.0.0.1 RABBITMQ_NODE_PORT=$amqp RABBITMQ_DIST_PORT=$dist
  export ERL_EPMD_PORT=$epmd ERL_EPMD_ADDRESS=127.0.0.1
  export RABBITMQ_MNESIA_BASE=$dir/mnesia RABBITMQ_LOG_BASE=$dir/log
  export RABBITMQ_ENABLED_PLUGINS_FILE=$dir/enabled_plugins RABBITMQ_CONFIG_FILE=$dir/rabbitmq.conf
  export RABBITMQ_SCHEMA_DIR=$dir/schema RABBITMQ_GENERATED_CONFIG_DIR=$dir/generated
  export RABBITMQ_CONF_ENV_FILE=$dir/no-such-file RABBITMQ_PID_FILE=$dir/pid
  export RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS="+sbwt none +sbwtdcpu none +sbwtdio none -kernel inet_dist_use_interface {127,0,0,1}"
}

# Chooses how the node's programs are run: INSIDE, followed by the program. With a root folder of its own, the node runs
# in that root and finds DIR at the same path. The mounts are in a mount namespace of the program: no other process sees
# them, and they disappear with its last process, however it ends.
choose_root() {
  local dir=$1 root
  [ -f "$dir/root" ] || printf '%s\n' "${HANDOFFD_BROKER_ROOT:-}" >"$dir/root"
  root=$(cat "$dir/root")
  INSIDE=(env)
  [ -n "$root" ] || return 0
  mkdir -p "$root$dir"
  # shellcheck disable=SC2016 # for the shell within
  INSIDE=(unshare --mount bash -c 'mount -t proc proc "$0/proc" && mount --bind "$1" "$0$1" &&
    TMPDIR=/tmp exec chroot "$0" "${@:2}"' "$root" "$dir")
}

# Picks three free ports below the range of ephemeral ports. If another process takes one before the node does, the node
# fails to start and reports it.
pick_ports() {
  local found=() port
  while [ "${#found[@]}" -lt 3 ]; do
    port=$((20000 + (RANDOM * 32768 + RANDOM) % 12000))
    case " ${found[*]:-} " in *" $port "*) continue ;; esac
    (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null || found+=("$port")
  done
  echo "${found[*]}"
}

await_up() {
  local deadline=$((SECONDS + START_LIMIT)) group
  group=$(cat "$1/group")
  while [ "$SECONDS" -lt "$deadline" ]; do
    kill -0 "$group" 2>/dev/null || { tail -n 20 "$1/out" >&2; stop "$1"; fail "the broker ended while it started"; }
    # Probing the port is cheap, and the node opens it last. rabbitmqctl starts a virtual machine each time.
    greets "$RABBITMQ_NODE_PORT" && return 0
    sleep 0.2
  done
  stop "$1"
  fail "the broker did not start within $START_LIMIT s; see $1/out"
}

# Succeeds if an AMQP server responds; it speaks only after the protocol header.
greets() {
  local answer=
  answer=$( { exec 3<>"/dev/tcp/127.0.0.1/$1" && printf 'AMQP\0\0\11\1' >&3 && timeout 5 head -c 1 <&3 | od -An -tx1; } 2>/dev/null) || return 1
  [ "${answer// /}" = "01" ]
}

# Ends the node when its owner ends, even if the owner is killed.
watch_over() {
  local dir=$1 group=$2 owner=${HANDOFFD_BROKER_OWNER:-} life=${HANDOFFD_BROKER_LIFE:-1800}
  local temporary=${HANDOFFD_BROKER_TEMPORARY:-}
  (
    trap '' INT TERM HUP
    end=$((SECONDS + life))
    # A killed node leaves its epmd behind, for an owner that may restart the node.
    while kill -0 "${owner:-$group}" 2>/dev/null && [ "$(cat "$dir/group" 2>/dev/null)" = "$group" ]; do
      [ "$life" -eq 0 ] || [ "$SECONDS" -lt "$end" ] || break
      sleep 1
    done
    # The node may have been stopped meanwhile, or another one started in the same DIR.
    [ "$(cat "$dir/group" 2>/dev/null)" = "$group" ] || exit 0
    if [ -n "$owner" ] || kill -0 "$group" 2>/dev/null; then end_node "$dir"; fi
    [ -z "$owner" ] || kill -0 "$owner" 2>/dev/null || [ -z "$temporary" ] || rm -rf "$dir"
  ) >/dev/null 2>&1 </dev/null &
  disown
}

ctl() {
  local dir; dir=$(cd "${1:?usage: broker.sh ctl DIR ARGUMENTS...}" && pwd)
  shift
  prepare "$dir"
  "${INSIDE[@]}" "$SERVER_HOME/rabbitmqctl" -q "$@"
}

# erl_call comes with Erlang and takes 15 ms; rabbitmqctl starts a virtual machine and takes half a second (measured).
evaluate() {
  local dir value; dir=$(cd "${1:?usage: broker.sh eval DIR EXPRESSION}" && pwd)
  command -v erl_call >/dev/null || { ctl "$dir" eval "$2"; return; }
  prepare "$dir"
  value=$(erl_call -sname "$RABBITMQ_NODENAME" -e <<<"lists:flatten(io_lib:format(\"~w\", [begin ${2%.} end])).")
  case "$value" in
    '{ok, "'*'"}') value=${value#'{ok, "'}; printf '%s\n' "${value%'"}'}" ;;
    *) fail "the node could not evaluate the expression: $value" ;;
  esac
}

stop() {
  [ -f "$1/group" ] || return 0
  end_node "$1"
}

end_node() {
  local dir group epmd root
  dir=$(cd "$1" && pwd)
  group=$(cat "$dir/group")
  kill -TERM -- "-$group" 2>/dev/null || true
  local tries=0
  while kill -0 -- "-$group" 2>/dev/null && [ "$tries" -lt 50 ]; do
    sleep 0.1
    tries=$((tries + 1))
  done
  kill -KILL -- "-$group" 2>/dev/null || true
  read -r _ _ epmd <"$dir/ports"
  end_epmd "$epmd"
  root=$(cat "$dir/root" 2>/dev/null || true)
  # The mount point of DIR, now an empty folder.
  [ -z "$root" ] || rmdir "$root$dir" 2>/dev/null || true
  rm -f "$dir/group"
}

# epmd makes itself a daemon outside the node's process group. It refuses to end while a node is registered, so it is
# found by its port. The last node of a cluster ends it.
end_epmd() {
  [ -z "$(of_epmd beam.smp "$1")" ] || return 0
  local pid
  for pid in $(of_epmd epmd "$1"); do kill "$pid" 2>/dev/null || true; done
}

# Prints the processes of this name that use the epmd of a port.
of_epmd() {
  local pid
  for pid in $(pgrep -x "$1" 2>/dev/null); do
    # A process that ends meanwhile, or belongs to another user, can't be read.
    if { tr '\0' '\n' <"/proc/$pid/environ"; } 2>/dev/null | grep -qx "ERL_EPMD_PORT=$2"; then echo "$pid"; fi
  done
}

run() {
  [ "$#" -gt 0 ] || fail "usage: broker.sh run -- COMMAND..."
  RUN_DIR=$(mktemp -d "${TMPDIR:-/tmp}/handoffd-broker.XXXXXX")
  trap 'stop "$RUN_DIR"; rm -rf "$RUN_DIR"' EXIT
  trap 'exit 130' INT
  trap 'exit 143' TERM
  local url status=0
  url=$(HANDOFFD_BROKER_OWNER=$$ HANDOFFD_BROKER_TEMPORARY=yes "$0" start "$RUN_DIR")
  AMQP_URL=$url HANDOFFD_TEST_AMQP_URL=$url "$@" || status=$?
  exit "$status"
}

fail() {
  printf 'broker.sh: %s\n' "$*" >&2
  exit 1
}

main "$@"
