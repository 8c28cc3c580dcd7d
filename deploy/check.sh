#!/usr/bin/env bash
# Checks the contents of this folder, without a container runtime or a cluster:
#
#   check.sh          checks Prometheus rules and their unit tests, dashboard, unit, YAML and JSON, and their match with the code
#   check.sh broker   imports the definitions into a private RabbitMQ
#   check.sh all      does both
#   check.sh ensure   only installs promtool, as described below
#
# promtool (Debian's package prometheus) is installed if it is missing and the user is permitted to, without starting
# Prometheus; set PROMTOOL to use another. kubernetes-validate, and PyYAML with it, comes from PyPI if that is
# reachable. Checks whose other tools are missing (python3, systemd-analyze) are reported and skipped.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

PROMTOOL=${PROMTOOL:-promtool}
PYTHON=python3
VALIDATE=kubernetes-validate
VALIDATE_VERSION=1.37.0
# Limit for systemd-analyze security, in tenths: 0 is closed, 100 is open. The unit has 1.2.
MOST_EXPOSED=15
SCRATCH=$(mktemp -d "${TMPDIR:-/tmp}/handoffd-check.XXXXXX")
trap 'rm -rf "$SCRATCH"' EXIT

main() {
  case "${1:-files}" in
    files) files ;;
    broker) broker ;;
    all) files; broker ;;
    ensure) ensure_promtool ;;
    *) sed -n '2,11s/^# \{0,1\}//p' check.sh >&2; exit 2 ;;
  esac
}

files() {
  ensure_promtool
  "$PROMTOOL" check config prometheus/prometheus.yml
  "$PROMTOOL" test rules prometheus/rules_test.yaml
  # ServiceMonitor is not a resource of Kubernetes itself.
  if ensure_kubernetes_validate; then
    "$VALIDATE" --strict kubernetes/secret.sample.yaml kubernetes/base/{namespace,organizations,service,networkpolicy}.yaml \
      kubernetes/embedded/{configmap,statefulset}.yaml kubernetes/postgres/{configmap,deployment,poddisruptionbudget,networkpolicy}.yaml
  else
    left_out kubernetes-validate "Kubernetes schemas"
  fi
  if command -v kubectl >/dev/null; then
    kubectl kustomize kubernetes/embedded >"$SCRATCH/embedded.yaml"
    kubectl kustomize kubernetes/postgres >"$SCRATCH/postgres.yaml"
  else
    left_out kubectl "build of the overlays"
  fi
  if "$PYTHON" -c 'import yaml' 2>/dev/null; then
    "$PYTHON" check.py "$SCRATCH/dashboard.yaml"
    "$PROMTOOL" check rules "$SCRATCH/dashboard.yaml"
  else
    left_out "python3 with PyYAML" "dashboard, YAML, and their match with the code"
  fi
  if command -v systemd-analyze >/dev/null; then
    unit
  else
    left_out systemd-analyze "systemd unit"
  fi
  bash systemd/check.sh "$SCRATCH"
  bash debian/check.sh "$SCRATCH" "$MOST_EXPOSED"
}

# PyPI's kubernetes-validate includes the schemas. It is installed into a virtual environment unless it is present.
ensure_kubernetes_validate() {
  command -v "$VALIDATE" >/dev/null && return 0
  local venv=../target/tmp/kubernetes-validate
  VALIDATE=$venv/bin/kubernetes-validate
  python3 -c 'import yaml' 2>/dev/null || PYTHON=$venv/bin/python3
  [ "$(cat "$venv/installed" 2>/dev/null)" = "$VALIDATE_VERSION" ] && return 0
  echo "installing kubernetes-validate into target/tmp" >&2
  # `--clear` discards an interrupted installation.
  timeout 60 python3 -m venv --clear "$venv" >&2 || return 1
  timeout 120 "$venv/bin/pip" install --quiet --disable-pip-version-check "kubernetes-validate==$VALIDATE_VERSION" >&2 || return 1
  echo "$VALIDATE_VERSION" >"$venv/installed"
}

# verify requires the executable, which is missing where handoffd is not installed.
unit() {
  sed 's#^ExecStart=[^ ]*#ExecStart=/bin/true#' systemd/handoffd.service >"$SCRATCH/handoffd.service"
  systemd-analyze verify --man=no "$SCRATCH/handoffd.service"
  # Available since systemd 250; before, only for units that are loaded.
  if systemd-analyze security --help 2>&1 | grep -q -- --offline; then
    systemd-analyze security --offline=true --threshold="$MOST_EXPOSED" --no-pager systemd/handoffd.service >"$SCRATCH/security" ||
      { cat "$SCRATCH/security"; exit 1; }
    tail -n 1 "$SCRATCH/security"
  else
    left_out "systemd-analyze security --offline" "how exposed the unit is"
  fi
}

broker() {
  ./broker.sh ensure
  HANDOFFD_BROKER_OWNER=$$ ./broker.sh start "$SCRATCH/broker" >/dev/null
  local status=0
  import || status=$?
  ./broker.sh stop "$SCRATCH/broker"
  return "$status"
}

# Runs in a context where errexit has no effect.
import() {
  take rabbitmq/definitions.json || return 1
  # Users without a known password must not be able to log in without one.
  if ctl authenticate_user handoffd '' >/dev/null 2>&1 </dev/null; then
    echo "check.sh: the user handoffd can log in without a password" >&2
    return 1
  fi
  take compose/definitions.json && ctl authenticate_user handoffd local-trial >/dev/null
}

take() { ctl import_definitions "$PWD/$1" && echo "RabbitMQ accepts deploy/$1"; }

ctl() { ./broker.sh ctl "$SCRATCH/broker" "$@"; }

ensure_promtool() {
  command -v "$PROMTOOL" >/dev/null && return 0
  if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null; then
    fail "promtool is not installed. Install it (Debian, Ubuntu: apt-get install --no-install-recommends prometheus) or set PROMTOOL."
  fi
  echo "installing prometheus, for promtool" >&2
  # A policy-rc.d that returns 101 prevents the package from starting its service; an existing one stays.
  local policy=/usr/sbin/policy-rc.d made=
  if [ ! -e "$policy" ]; then
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod 755 "$policy"
    made=yes
  fi
  local status=0
  install_package || status=$?
  [ -z "$made" ] || rm -f "$policy"
  [ "$status" -eq 0 ] || fail "prometheus could not be installed; see the output above."
}

install_package() {
  export DEBIAN_FRONTEND=noninteractive
  apt-get install -y -q --no-install-recommends prometheus >&2 && return 0
  apt-get update -q >&2
  apt-get install -y -q --no-install-recommends prometheus >&2
}

left_out() { printf 'skipped, %s is not installed: %s\n' "$1" "$2"; }

fail() {
  printf 'check.sh: %s\n' "$*" >&2
  exit 1
}

main "$@"
