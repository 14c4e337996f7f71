#!/bin/bash
# run.sh quick|full [DATADIR] [extra bench.py options, e.g. --driver-script ours=./drivers/ours.sh]
set -euo pipefail; cd "$(dirname "$0")"; S=${1:-quick}; shift || true
DATA=${BENCH_DATA:-$PWD/bench-data}; if [ $# -gt 0 ] && [ "${1#-}" = "$1" ]; then DATA=$1; shift; fi
mkdir -p "$DATA"; DATA=$(cd "$DATA" && pwd); export BENCH_DATA=$DATA
[ -x "$DATA/cargo-target/release/cdcstat" ] || (cd cdcstat && cargo build --release --locked --target-dir "$DATA/cargo-target")
./makedata.sh "$S" "$DATA"
EXT=$(for a in "$@"; do case $a in *=*/*) printf ',%s' "${a%%=*}";; esac; done)   # names given with --driver-script
T0=$(date +%s); B="python3 bench.py"; P="--scale $S --data $DATA"; O="$P $*"   # P: built-in tools only; no spaces in paths
ING=${INGEST_DRIVER:+--driver-script $INGEST_DRIVER}       # NAME=SCRIPT of a driver that only stores
t(){ echo "== $* ($(( $(date +%s) - T0 )) s)"; }
# The program's own server: $SERVE_URL on the driver script's content, when both are given.
serve(){ [ -z "${SERVE_URL:-}" ] || [ -z "$EXT" ] || $B m5 $O --serve-url "$SERVE_URL"; }
if [ "$S" = quick ]; then
  t m12;    $B m12 $O --runs 1 --datasets D1 --tools 'tar|nc,rsync,rsync --link-dest+switch,ostree'
            $B m12 $O --runs 1 --datasets D2 --tools 'tar|nc,rsync,zsync,nginx+curl (whole file)'
            $B m12 $O --runs 1 --datasets D3 --tools 'cp-a,tar|nc,rsync,rsync --link-dest+switch,casync,ostree'
  t ingest; $B ingest $P $ING --runs 1 --datasets D3
  t m3;     $B m3 $O --runs 1 --n 4 --tools "rsync,aria2 swarm$EXT"
  t m5;     $B m5 $P; serve
  t m4;     $B m4 $P
  t limits; $B limits $P
else
  t m12a;   $B m12 $O --runs 3 --datasets D1 --tools 'tar|nc,rsync,rsync --link-dest+switch' --slow-s 120
  t m12b;   $B m12 $O --runs 3 --datasets D2 --tools 'tar|nc,nginx+curl (whole file),rsync,zsync' --slow-s 45
  t m12c;   $B m12 $O --runs 3 --datasets D3 --tools 'tar|nc,rsync,rsync -z,rsync --link-dest+switch'
  t ingest; $B ingest $P $ING --runs 3 --slow-s 20
  t slow;   $B m12 $P --runs 1 --datasets D1,D2 --tools casync; $B m12 $P --runs 1 --datasets D1,D3 --tools 'ostree'; $B m12 $P --runs 1 --datasets D3 --tools casync
  t m3;     $B m3 $O --runs 3 --slow-s 20
  t m5;     $B m5 $P; serve
  t m4;     $B m4 $P
  t limits; $B limits $P
fi
echo "== done in $(( $(date +%s) - T0 )) s (data preparation not counted)"
