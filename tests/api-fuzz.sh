#!/usr/bin/env bash
# `make fuzz-api`: fuzzes the HTTP interface with schemathesis, which generates its requests from the OpenAPI document
# (`/api/v1/openapi.json`) and validates every response against it. A worker runs, with a broker, a simulated Dynamics
# 365, outcomes and dead letters.
#
#   api-fuzz.sh             EXAMPLES=50 requests of each kind for each operation, SEED=… to repeat a run
#
# Exit status 0 also if the fuzzer can't be installed (no package index reachable), with a message.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

VERSION=4.32.5
VENV=target/tmp/api-fuzz
TOKEN=a-token-for-the-fuzzer
READER_TOKEN=another-token-for-the-fuzzer
KEY=$(head -c 32 /dev/urandom | base64)
# In seconds.
INSTALLING=300
STARTING=60
FUZZING=$((30 + 20 * ${EXAMPLES:-50}))

main() {
  if [ "${1:-}" = inner ]; then
    fuzz
    return
  fi
  if ! install; then
    echo "fuzz-api: SKIPPED: schemathesis could not be installed from the package index (see above)"
    return 0
  fi
  cargo build --quiet --bins
  bash deploy/broker.sh ensure
  bash deploy/broker.sh run -- bash tests/api-fuzz.sh inner
}

install() {
  [ "$(cat "$VENV/installed" 2>/dev/null)" = "$VERSION" ] && return 0
  # `--clear` discards an interrupted installation.
  timeout "$INSTALLING" python3 -m venv --clear "$VENV" || return 1
  timeout "$INSTALLING" "$VENV/bin/pip" install --quiet --disable-pip-version-check "schemathesis==$VERSION" || return 1
  echo "$VERSION" >"$VENV/installed"
}

fuzz() {
  FOLDER=$(mktemp -d)
  PIDS=()
  trap clear EXIT
  start_simulator
  start_worker
  publish
  local status=0
  run_fuzzer "Authorization: Bearer $TOKEN" || status=$?
  run_fuzzer "Authorization: Bearer $READER_TOKEN" || status=$?
  # Without any token configured.
  kill "${PIDS[1]}"
  wait "${PIDS[1]}" || status=$?
  TOKEN="" READER_TOKEN="" start_worker 1
  run_fuzzer "Accept: application/json" || status=$?
  if ! kill -0 "${PIDS[1]}" 2>/dev/null; then
    echo "fuzz-api: the worker has exited" >&2
    status=1
  fi
  [ "$status" -eq 0 ] || tail -20 "$FOLDER/worker.log" >&2
  return "$status"
}

run_fuzzer() {
  echo "fuzz-api: with the header ${1%% *}" >&2
  timeout "$FUZZING" "$VENV/bin/st" --config-file tests/api-fuzz.toml run "$URL/api/v1/openapi.json" \
    --header "$1" --max-examples "${EXAMPLES:-50}" --seed "${SEED:-$RANDOM}" --request-timeout 30 --no-color
}

start_simulator() {
  target/debug/dynamics-simulator --environment name=acme --ready-file "$FOLDER/simulator.json" \
    >"$FOLDER/simulator.log" 2>&1 &
  PIDS+=("$!")
  await "the simulator" test -s "$FOLDER/simulator.json"
  CRM=$(python3 -c 'import json, sys; print(json.load(open(sys.argv[1]))[0]["url"])' "$FOLDER/simulator.json")
}

start_worker() {
  local at=${1:-${#PIDS[@]}}
  mkdir -p "$FOLDER/organizations"
  cat >"$FOLDER/handoffd.toml" <<END
[broker]
url = "$AMQP_URL"
[retry]
delays = ["200ms", "1s"]
[dynamics]
authority = "$CRM"
allow_insecure = true
[store]
path = "$FOLDER/handoffd.sled"
[http]
listen = "127.0.0.1:0"
token = "$TOKEN"
reader_token = "$READER_TOKEN"
[log]
format = "json"
[organizations]
directory = "$FOLDER/organizations"
encryption_key = "$KEY"
END
  cat >"$FOLDER/organizations/acme.toml" <<END
organization_id = "org_acme"
environment_url = "$CRM"
tenant_id = "11111111-1111-1111-1111-111111111111"
client_id = "22222222-2222-2222-2222-222222222222"
client_secret = "simulator-secret"
END
  target/debug/handoffd --config "$FOLDER/handoffd.toml" run >"$FOLDER/worker.log" 2>&1 &
  PIDS[at]=$!
  await "the worker" listens
  await "the worker" curl --silent --fail --noproxy '*' --output /dev/null "$URL/readyz"
}

listens() {
  URL=$(sed -n 's/.*HTTP server listening.*"address":"\([^"]*\)".*/http:\/\/\1/p' "$FOLDER/worker.log" | head -1)
  [ -n "$URL" ] && return 0
  URL=$(sed -n 's/.*"address":"\([^"]*\)".*HTTP server listening.*/http:\/\/\1/p' "$FOLDER/worker.log" | head -1)
  [ -n "$URL" ]
}

# Publishes events of all kinds: some succeed, some are skipped, some become dead letters.
publish() {
  local events=(tests/it/fixtures/events/handoff-*.json tests/it/fixtures/events/resolved*.json
    tests/demo/events/{unknown-organization,unsupported-event,no-session,not-json}.json)
  target/debug/handoffd --config "$FOLDER/handoffd.toml" publish "${events[@]}"
  await "the dead letters" has_dead_letters
}

has_dead_letters() {
  curl --silent --noproxy '*' --header "Authorization: Bearer $TOKEN" "$URL/api/v1/dead-letters" |
    grep -q evt_unknown_organization
}

await() {
  local what=$1 deadline=$((SECONDS + STARTING))
  shift
  until "$@"; do
    if [ "$SECONDS" -ge "$deadline" ]; then
      echo "fuzz-api: timed out waiting for $what" >&2
      tail -20 "$FOLDER"/*.log >&2
      exit 1
    fi
    sleep 0.1
  done
}

clear() {
  local pid
  for pid in "${PIDS[@]}"; do
    kill "$pid" 2>/dev/null || true
    wait "$pid" 2>/dev/null || true
  done
  rm -rf "$FOLDER"
}

main "$@"
