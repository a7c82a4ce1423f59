#!/usr/bin/env bash
# Stands in for systemd: runs the unit's own ExecStart with its credential and environment, for the
# one instance `issuer`. Hardening is not applied; `systemd-analyze` judges that.
set -eu
unit="$UNITS/obol-kms@.service"
here() { sed -n "s|^$1=||p" "$unit" | sed -e "s|/etc/obol-kms/%i|$ETC|g"; }

start() {
    command=$(here ExecStart)
    credential=$(here LoadCredential)
    mkdir -m 700 "$RUN/credentials"
    install -m 400 "${credential#*:}" "$RUN/credentials/${credential%%:*}"
    # The daemon ends with the test, even when that fails: its standard input closes.
    # shellcheck disable=SC2086
    env -u SOFTHSM2_CONF "$(here Environment)" CREDENTIALS_DIRECTORY="$RUN/credentials" \
        obol-kms ${command#/usr/bin/obol-kms } --until-stdin-closes \
        < "$HOLD" > "$RUN/stdout" 2> "$RUN/stderr" &
    echo $! > "$RUN/pid"
}

stop() {
    pid=$(cat "$RUN/pid")
    kill "$pid"
    while kill -0 "$pid" 2> /dev/null; do sleep 0.05; done
    rm -rf "$RUN"/*
}

case "$*" in
daemon-reload) ;;
"enable --now obol-kms@issuer" | "start obol-kms@issuer") start ;;
"stop obol-kms@issuer") stop ;;
"restart obol-kms@issuer") stop && start ;;
*) echo "no such command here: $*" >&2 && exit 2 ;;
esac
