#!/bin/bash
# Restock: a site at the source, one distribution point at each destination, every process with its default configuration.
# Uses only documented commands. RESTOCK names the binary. The whole refresh is in "publish": it returns when every distribution
# point serves the new version, so "pull" has nothing left to do and the harness's transfer time is 0.
set -euo pipefail
R=${RESTOCK:?set RESTOCK to the restock binary}; SITE=$BENCH_STORE/site; PKG=XYZ00001
site() { "$R" --data "$SITE" "$@"; }
start() { # DATA COMMAND...: runs a daemon and returns when its control socket is there
  local data=$1; shift
  "$@" >> "$BENCH_WORK/restock.log" 2>&1 & local pid=$!
  echo "$pid" >> "$BENCH_WORK/restock.pids"
  until [ -S "$data/control.sock" ]; do kill -0 "$pid" || exit 1; sleep 0.02; done; }
join() { # NAME DATA [NSENTER...]: enrols a distribution point and runs it
  local name=$1 data=$2; shift 2
  local token; token=$(site token create "$name")
  "$@" "$R" --data "$data" dp init --site "restock://$BENCH_SRC_IP:8720" --token "$token"
  if [ "$BENCH_STEP" = serve ] && [ -n "${BENCH_TLS_CERT:-}" ]; then      # https rows: --serve-url https://10.77.0.1:8722/...
    sed -i "s|^tls_listen = .*|tls_listen = \"0.0.0.0:8722\"|; s|^tls_certificate = .*|tls_certificate = \"$BENCH_TLS_CERT\"|
      s|^tls_key = .*|tls_key = \"$BENCH_TLS_KEY\"|" "$data/restock.toml"
  fi
  start "$data" "$@" "$R" --data "$data" dp run; }
case $1 in
  init)
    : > "$BENCH_WORK/restock.pids"
    site site init --code XYZ
    start "$SITE" "$R" --data "$SITE" site run
    site source add bench "$BENCH_SRC"
    for i in $(seq "$BENCH_N"); do join "DP$i" "$BENCH_DP_ROOT$i" nsenter "--net=/run/netns/bdp$i"; done ;;
  publish)
    if [ "$BENCH_STEP" = serve ]; then       # the serving test asks at the source's address: a distribution point there
      join DPS "$BENCH_WORK/serving"
      site package create serving --source "$BENCH_SRC" --public --wait
      site distribute $PKG --to DPS --wait
    elif [ "$BENCH_GEN" = 1 ]; then
      # With RESTOCK_SHARE=1 the point keeps a plain folder too: the row restock+share.
      site package create bench --source "$BENCH_SRC" --public ${RESTOCK_SHARE:+--share}
      # shellcheck disable=SC2046  # one word each
      site distribute $PKG --to $(for i in $(seq "$BENCH_N"); do echo "DP$i"; done) --wait
    else
      site refresh $PKG --wait
    fi ;;
  pull) ;;
  dest) # contents by HTTP from this distribution point; modes, links and empty folders from the package's list
    site package files $PKG --json | nsenter "--net=/run/netns/$BENCH_NS_DP" python3 "$(dirname "$0")/restock-export.py" \
      "http://127.0.0.1:8721/SMS_DP_SMSPKG\$/$PKG" "$BENCH_EXPORT" >&2
    echo "$BENCH_EXPORT" ;;
  stop) if [ -f "$BENCH_WORK/restock.pids" ]; then xargs -r kill < "$BENCH_WORK/restock.pids" || true; fi ;;
  *) echo "unknown verb $1" >&2; exit 2 ;;
esac
