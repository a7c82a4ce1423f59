#!/usr/bin/env bash
# Stands in for systemd: runs the installed units' own ExecStart and ExecReload, with their
# environment, credential and folders, below $ETC, $STATE, $RUN and $BIN instead of the system's.
# Hardening is not applied; `systemd-analyze` judges that.
set -eu

# unit NAME: sets what is said of the unit below.
unit() {
    instance=${1#*@}
    case $1 in
    *@*) file=$UNITS/${1%@*}@.service ;;
    *) file=$UNITS/$1.service ;;
    esac
    log=$LOGS/$1
}
# here KEY: the unit's value, with this machine's folders.
here() {
    sed -n "s|^$1=||p" "$file" | sed -e "s|%i|$instance|g" -e "s|/etc/|$ETC/|g" \
        -e "s|/usr/bin/|$BIN/|g"
}

start() {
    for folder in $(here StateDirectory); do mkdir -p "$STATE/$folder"; done
    for folder in $(here RuntimeDirectory); do mkdir -p "$RUN/$folder"; done
    credential=$(here LoadCredential)
    if [ -n "$credential" ]; then
        mkdir -p "$log.credentials"
        install -m 400 "${credential#*:}" "$log.credentials/${credential%%:*}"
    fi
    # The service ends with the test, even when that fails: its standard input closes.
    # shellcheck disable=SC2046
    env -i $(here Environment) CREDENTIALS_DIRECTORY="$log.credentials" \
        $(here ExecStart) --until-stdin-closes < "$HOLD" > "$log.stdout" 2>> "$log.stderr" &
    echo $! > "$log.pid"
}

stop() {
    kill "$(cat "$log.pid")"
    while kill -0 "$(cat "$log.pid")" 2> /dev/null; do sleep 0.05; done
    for folder in $(here RuntimeDirectory); do rm -rf "${RUN:?}/$folder"; done
}

reload() {
    MAINPID=$(cat "$log.pid") bash -c "$(here ExecReload)"
}

verb=$1
shift
if [ "$verb" = daemon-reload ]; then exit; fi
if [ "$verb" = enable ]; then
    [ "$1" = --now ]
    shift
    verb=start
fi
for name; do
    unit "$name"
    case $verb in
    start | stop | reload) "$verb" ;;
    restart) stop && start ;;
    *) echo "no such command here: $verb" >&2 && exit 2 ;;
    esac
done
