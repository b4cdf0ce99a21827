#!/usr/bin/env bash
# Builds everything, starts Weirgate with the order handlers and the shop, and runs until Ctrl-C. Orders are kept in
# target/demo; `make clean-demo` deletes them. PORT sets another port, PACE_MS how long the simulated work of a step takes.
source "$(dirname "$0")/lib.sh"
need_rust; need_wasm; need_node
build_server; build_handlers; build_web
port=${PORT:-8080}; url=http://127.0.0.1:$port; weirgate=target/release/weirgate
have curl || install curl ca-certificates
if curl -s -o /dev/null "$url"; then die "something answers on port $port already; choose another: PORT=8090 make demo"; fi
say "starting Weirgate"
mkdir -p target/demo
"$weirgate" serve --listen "127.0.0.1:$port" --data target/demo/data --shop web/storefront/dist &
server=$!
trap 'kill $server 2>/dev/null || true; wait $server 2>/dev/null || true' EXIT
trap 'exit 0' INT TERM
for _ in $(seq 300); do
  curl -sf -o /dev/null "$url/readyz" && break
  kill -0 $server 2>/dev/null || die "the server did not start; the lines above say why"
  sleep 0.1
done
say "deploying the order handlers"
# With a pace that one can watch: the manifests in handlers/ have none, so that everything happens at once.
mkdir -p target/demo/manifests; manifests=()
for name in "${HANDLERS[@]}"; do
  manifests+=("target/demo/manifests/$name.toml")
  sed -e "s|^pace_ms = .*|pace_ms = \"${PACE_MS:-1200}\"|" -e 's|^module = ".*/|module = "|' "handlers/$name/handler.toml" > "${manifests[-1]}"
done
"$weirgate" --url "$url" handlers deploy --yes --modules "$MODULES" "${manifests[@]}"
say "counting the stock"
"$weirgate" --url "$url" events publish --file handlers/inventory/stocktaking.json >/dev/null
printf '\n   The shop is open:  %s/shop/\n   Stop it with Ctrl-C. Orders survive that, and kill -9 too.\n\n' "$url"
wait $server
