#!/usr/bin/env bash
# Tries the two commands of the README on a bare Debian 12: debootstrap, a clone of this checkout's HEAD, nothing else.
#
#   tools/bare_test.sh serve     scripts/serve, a chat by curl, a second start
#   tools/bare_test.sh test      scripts/test
#   tools/bare_test.sh all       both, in one root
#   tools/bare_test.sh shell     a shell in the root
#
# Needs root, debootstrap and curl. The root is BARE_ROOT (default: a new folder under /var/tmp), made if it is not
# there, and kept. The package mirror, pip's, cargo's and npm's settings and extra certificates are this machine's own.
set -euo pipefail
what=${1:-all}
here=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
bare=${BARE_ROOT:-$(mktemp -d /var/tmp/pippin-bare.XXXXXX)}
port=${BARE_PORT:-18088}
url=http://127.0.0.1:$port
source=/src/pippin
question='{"role": "user", "content": "What is the capital of France?"}'
request="{\"model\": \"default\", \"max_tokens\": 24, \"messages\": [$question]}"

case $what in serve | test | all | shell) ;; *) sed -n '2,10s/^# \{0,1\}//p' "$0"; exit 2 ;; esac

# Mounts live and die with a private namespace, and processes with a private PID space.
if [ "${BARE_INSIDE:-}" != 1 ]; then
  [ "$(id -u)" = 0 ] || { echo "bare_test: root is needed for debootstrap and chroot" >&2; exit 1; }
  BARE_ROOT=$bare BARE_INSIDE=1 exec unshare --mount --pid --fork --mount-proc --kill-child "$0" "$@"
fi

say() { printf 'bare_test: %s\n' "$*"; }

make_root() {
  [ ! -e "$bare/etc/debian_version" ] || return 0
  local mirror
  mirror=$(apt-cache policy | sed -n 's|^ *[0-9-]* \(http[^ ]*\) bookworm/main .*|\1|p')
  debootstrap --variant=minbase bookworm "$bare" "${mirror%%$'\n'*}" >"$bare.log" 2>&1 ||
    { tail "$bare.log" >&2; exit 1; }
}

carry_settings() {
  local file
  cp /etc/resolv.conf /etc/hosts "$bare/etc/"
  for file in /etc/pip.conf "$HOME/.config/pip/pip.conf" "$HOME/.pip/pip.conf" "$HOME/.cargo/config.toml" \
    "$HOME/.cargo/config" /usr/local/share/ca-certificates/*.crt; do
    [ -f "$file" ] || continue
    case $file in
      "$HOME"/*) install -D -m 644 "$file" "$bare/root/${file#"$HOME"/}" ;;
      *) install -D -m 644 "$file" "$bare$file" ;;
    esac
  done
  # Only what says where packages come from; nothing else of this machine's environment goes in, nor of npm's files,
  # which may hold secrets.
  local npm='registry|cafile|https-proxy|proxy|noproxy|strict-ssl|fetch-[a-z-]*'
  grep -hE "^((@[^:=]+:)?registry|$npm) *=" /etc/npmrc /usr/etc/npmrc "$HOME/.npmrc" 2>/dev/null |
    grep -v '://[^/]*@' | sort -u | install -D -m 644 /dev/stdin "$bare/root/.npmrc" || true
  if [ -f "${NODE_EXTRA_CA_CERTS:-}" ] && [ ! -e "$bare$NODE_EXTRA_CA_CERTS" ]; then
    install -D -m 644 "$NODE_EXTRA_CA_CERTS" "$bare$NODE_EXTRA_CA_CERTS"
  fi
  local pip='PIP_(INDEX_URL|EXTRA_INDEX_URL|TRUSTED_HOST|CERT|DEFAULT_TIMEOUT)'
  local cargo='CARGO_(HTTP|REGISTRIES|SOURCE)_[A-Z_]*'
  local node='NODE_EXTRA_CA_CERTS|(npm_config|NPM_CONFIG)_(registry|REGISTRY|cafile|CAFILE|strict_ssl|STRICT_SSL)'
  env | grep -E "^($pip|$cargo|$node|https?_proxy|no_proxy|HTTPS?_PROXY|NO_PROXY)=" >"$bare.env" || true
}

# inside COMMAND...: in the root, with a bare environment and no terminal. Becomes the command: call it in a subshell.
inside() {
  local settings=()
  mapfile -t settings <"$bare.env"
  exec chroot "$bare" /usr/bin/env -i HOME=/root LANG=C.UTF-8 \
    PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin "${settings[@]}" "$@" </dev/null
}

# wait_ready SECONDS PID: until the server answers /health with 200.
wait_ready() {
  local end=$((SECONDS + $1))
  until curl -sf -o /dev/null "$url/health"; do
    kill -0 "$2" 2>/dev/null || { say "scripts/serve ended before it was ready"; return 1; }
    [ $SECONDS -lt $end ] || { say "not ready after $1 s"; return 1; }
    sleep 0.1
  done
}

try_serve() {
  local round start pid answer
  for round in first second; do
    start=$(date +%s.%N)
    (inside "$source/scripts/serve" --port "$port") &
    pid=$!
    wait_ready 1800 "$pid"
    say "$round start: ready after $(echo "$(date +%s.%N) - $start" | bc) s"
    answer=$(curl -sS -H 'Content-Type: application/json' -d "$request" "$url/v1/chat/completions")
    say "$answer"
    python3 -c 'import json, sys; assert json.loads(sys.argv[1])["choices"][0]["message"]["content"].strip()' "$answer"
    kill -TERM "$pid"
    wait "$pid" || say "scripts/serve ended with status $?"
  done
}

make_root
carry_settings
mount --rbind /dev "$bare/dev"
mount -t proc proc "$bare/proc"
mount --bind /sys "$bare/sys"
mkdir -p "$bare/src"
[ -d "$bare$source" ] || git clone --quiet "$here" "$bare$source"
say "$(git -C "$here" rev-parse --short HEAD) in $bare, $(nproc) CPUs"
case $what in
  shell) chroot "$bare" /bin/bash ;;
  serve) try_serve ;;
  test) time (inside "$source/scripts/test") ;;
  all)
    try_serve
    time (inside "$source/scripts/test")
    ;;
esac
