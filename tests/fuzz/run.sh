#!/bin/sh
# Fuzzes every target for a bounded time: tests/fuzz/run.sh SECONDS [TARGET…]
# All output is under target/fuzz; findings are kept in target/fuzz/found and fail the run.
# Stable Rust is sufficient: the code has no unsafe, so the fuzzer needs coverage and no sanitizer.
set -eu

seconds=${1:?usage: tests/fuzz/run.sh SECONDS [TARGET…]}
shift
cd "$(dirname "$0")/../.."
targets=${*:-$(sed -n 's/^name = "\([a-z_]*\)"$/\1/p' tests/fuzz/Cargo.toml)}
work=target/fuzz

command -v cargo-fuzz >/dev/null || cargo install --locked cargo-fuzz

# Every sample event is a seed, in all three dialects, with the NUL-separated parts (see decode.rs).
seed_decode() {
    for sample in tests/it/fixtures/events/*.json; do
        name=$(basename "$sample" .json)
        cp "$sample" "$1/$name"
        { cat "$sample"; printf '\0application/cloudevents+json; charset=utf-8\0m1'; } >"$1/$name-structured"
        event=$(sed -n 's/.*"\(event\|type\)": "\([a-z.]*\)".*/\2/p' "$sample")
        {
            sed -n '/"data":/,$p' "$sample" | sed '1s/.*"data": *//; $d'
            printf '\0application/json\0m1\0cloudEvents:specversion\0001.0\0cloudEvents:id\0e1'
            printf '\0cloudEvents_type\0%s\0cloudEvents:time\0002026-11-22T10:15:00Z' "$event"
            printf '\0cloudEvents:organizationid\0org_acme'
        } >"$1/$name-binary"
    done
}

for target in $targets; do
    RUSTC_BOOTSTRAP=1 cargo fuzz build --fuzz-dir tests/fuzz --sanitizer none --target-dir "$work" "$target"
    seeds=$work/seeds/$target corpus=$work/corpus/$target found=$work/found/$target
    rm -rf "$seeds"
    mkdir -p "$seeds" "$corpus" "$found"
    if command -v "seed_$target" >/dev/null; then "seed_$target" "$seeds"; fi
    binary=$(find "$work" -path "*/release/$target" -type f | head -n 1)
    "$binary" "$corpus" "$seeds" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 \
        -max_len=8192 -dict=tests/fuzz/json.dict -artifact_prefix="$found/" -print_final_stats=1
done
