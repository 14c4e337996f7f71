#!/bin/bash
# Restock: a site alone, to be measured beside programs that only store (`bench.py ingest`). Uses only documented commands.
# RESTOCK names the binary. A refresh ends when the version is durable and published; `dest` writes it out and checks it.
set -euo pipefail
R=${RESTOCK:?set RESTOCK to the restock binary}; SITE=$BENCH_STORE/site; PKG=XYZ00001
site() { "$R" --data "$SITE" "$@"; }
case $1 in
  init)
    site site init --code XYZ
    site site run >> "$BENCH_WORK/restock.log" 2>&1 & pid=$!
    echo "$pid" > "$BENCH_WORK/restock.pids"
    until [ -S "$SITE/control.sock" ]; do kill -0 "$pid" || exit 1; sleep 0.02; done
    site source add bench "$BENCH_SRC" ;;
  publish)
    if [ "$BENCH_GEN" = 1 ]; then site package create bench --source "$BENCH_SRC" --wait; else site refresh $PKG --wait; fi ;;
  pull) ;;
  dest) rm -rf "$BENCH_EXPORT"; site get $PKG "$BENCH_EXPORT" >&2; echo "$BENCH_EXPORT" ;;
  stop) if [ -f "$BENCH_WORK/restock.pids" ]; then xargs -r kill < "$BENCH_WORK/restock.pids" || true; fi ;;
  *) echo "unknown verb $1" >&2; exit 2 ;;
esac
