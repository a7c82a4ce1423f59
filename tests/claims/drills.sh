#!/usr/bin/env bash
# Stands in for ssh, systemctl and the vendor's tool of two nodes on one machine. Its first word says
# which it is: at NODE COMMAND…, systemctl VERB… UNIT, hsm remove|insert. A node's programs are those of
# its current release.
set -eu

name() { case $1 in obol-issuer) echo obol-issuer ;; obol-kms@issuer) echo obol-kms ;; *) exit 2 ;; esac; }
config() {
    case "$NODE $1" in
    "north obol-issuer") echo issuer.toml ;;
    "south obol-issuer") echo issuer-south.toml ;;
    "north obol-kms") echo kms.toml ;;
    "south obol-kms") echo kms-south.toml ;;
    esac
}

start() {
    : > "run/$NODE-$1.out"
    # It ends with the test, even when that fails: its standard input closes.
    "lib/$NODE/current/bin/$1" serve --config "$(config "$1")" --until-stdin-closes \
        < "$HOLD" > "run/$NODE-$1.out" 2>> "logs/$NODE-$1.log" &
    echo $! > "run/$NODE-$1.pid"
    until grep -q '^ready ' "run/$NODE-$1.out"; do
        kill -0 "$(cat "run/$NODE-$1.pid")" || { echo "$NODE's $1 has ended" >&2; exit 1; }
        sleep 0.05
    done
}

ended() { while kill -0 "$1" 2> /dev/null; do sleep 0.05; done; }

word=$1
shift
case $word in
at)
    export NODE=$1 PATH=$PWD/lib/$1/current/bin:$PATH
    shift
    exec "$@"
    ;;
systemctl)
    [ "$1" != daemon-reload ] || exit 0
    unit=$(name "${!#}")
    pid() { cat "run/$NODE-$unit.pid"; }
    case "$1 ${2-}" in
    "start "*) start "$unit" ;;
    "stop "*) kill "$(pid)" && ended "$(pid)" ;;
    "restart "*) kill "$(pid)" && ended "$(pid)" && start "$unit" ;;
    "show --property=MainPID") pid ;;
    "reload "*) kill -HUP "$(pid)" ;;
    "kill --signal=KILL") kill -KILL "$(pid)" && ended "$(pid)" ;;
    *) echo "no such command here: $*" >&2 && exit 2 ;;
    esac
    ;;
hsm)
    # The worker that had the token open is gone with it; the daemon looks for it again.
    case $1 in
    remove) mv "$TOKEN_FOLDER" token-away && pkill -KILL -P "$(cat "run/$NODE-obol-kms.pid")" ;;
    insert) mv token-away "$TOKEN_FOLDER" ;;
    esac
    ;;
esac
