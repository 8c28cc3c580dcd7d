#!/bin/bash
# /usr/bin/handoffd: runs handoffd with the configuration and the environment of handoffd.service, as the worker's user.
#
# A command would otherwise read config/handoffd.toml of the current directory, and one that opens the store as root
# would leave files in it that the worker can't read. These keep the rights of their caller, because they read or write
# the caller's files: `org save`, `publish`, `explain`, and `--patch` and `--keep` of `dead-letters`. With `--config` or
# HANDOFFD_CONFIG it adds nothing.
set -u
ROOT=${HANDOFFD_ROOT:-}
unset HANDOFFD_ROOT
PROGRAM=$ROOT/usr/lib/handoffd/handoffd
WORKER=handoffd

main() {
  if [ -n "${HANDOFFD_CONFIG:-}" ] || names_a_configuration "$@"; then
    exec "$PROGRAM" "$@"
  fi
  take_environment
  if [ "$(id -u)" -eq 0 ] && ! uses_files_of_its_caller "$@"; then
    # The worker's record names the person, not the worker's user.
    export SUDO_USER=${SUDO_USER:-root}
    exec setpriv --reuid="$WORKER" --regid="$WORKER" --init-groups --inh-caps=-all --bounding-set=-all --no-new-privs -- \
      "$PROGRAM" "$@"
  fi
  if ! [ -r "$HANDOFFD_CONFIG" ] && needs_configuration "$@"; then
    echo "error: cannot read $HANDOFFD_CONFIG as user $(id -un); run \`sudo handoffd …\`" >&2
    exit 1
  fi
  exec "$PROGRAM" "$@"
}

names_a_configuration() {
  local word
  for word; do
    case $word in
      --config | --config=*) return 0 ;;
      --) return 1 ;;
    esac
  done
  return 1
}

uses_files_of_its_caller() {
  case "${1:-} ${2:-}" in
    "org save" | publish\ * | explain\ *) return 0 ;;
  esac
  local word
  for word; do
    case $word in
      --patch | --patch=* | --keep | --keep=*) return 0 ;;
    esac
  done
  return 1
}

needs_configuration() {
  case "${1:-}" in
    "" | -* | help | man | completions | schema) return 1 ;;
  esac
}

# Root sees the environment of the running worker, changes by `systemctl edit` included. Else it is read from the unit's files.
take_environment() {
  local pid
  pid=$(systemctl show --property MainPID --value handoffd.service 2>/dev/null)
  if [ "${pid:-0}" -gt 0 ] 2>/dev/null && [ -r "/proc/$pid/environ" ] && take_process "$pid"; then
    return
  fi
  take HANDOFFD_CONFIG="$ROOT/etc/handoffd/handoffd.toml"
  take_file "$ROOT/etc/handoffd/environment"
}

# The service manager's own variables, and those of the worker's person, stay with the worker.
take_process() {
  local pair taken=1
  while IFS= read -r -d '' pair; do
    case $pair in
      HOME=* | USER=* | LOGNAME=* | SHELL=* | PATH=* | LANG=* | LC_*=* | TERM=*) ;;
      NOTIFY_SOCKET=* | WATCHDOG_*=* | INVOCATION_ID=* | JOURNAL_STREAM=* | SYSTEMD_*=* | MEMORY_PRESSURE_*=*) ;;
      [A-Za-z_]*=*) take "$pair" && taken=0 ;;
    esac
  done <"/proc/$1/environ"
  return $taken
}

# NAME=value lines, a value in quotes or not, as the unit's EnvironmentFile= reads them.
take_file() {
  local line name value
  [ -r "$1" ] || return 0
  while IFS= read -r line || [ -n "$line" ]; do
    line=${line#"${line%%[![:space:]]*}"}
    line=${line%"${line##*[![:space:]]}"}
    case $line in
      "" | \#* | \;*) continue ;;
    esac
    name=${line%%=*} value=${line#*=}
    case $value in
      \'*\' | \"*\") value=${value:1:${#value}-2} ;;
    esac
    take "$name=$value"
  done <"$1"
}

# A variable that the caller has set goes before the unit's.
take() {
  local name=${1%%=*}
  [[ $name =~ ^[A-Za-z_][A-Za-z0-9_]*$ ]] || return 0
  [ -n "${GIVEN[$name]+set}" ] || export "$name=${1#*=}"
}

declare -A GIVEN=()
while IFS= read -r name; do GIVEN[$name]=1; done < <(compgen -e)
main "$@"
