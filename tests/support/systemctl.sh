#!/bin/sh
# Stands in for systemctl on a test's machine, for one unit, with what a server calls: daemon-reload, enable, restart, status,
# and disable, stop for whoever takes a host back. The unit's program is started again 3 s after each end, as the unit says.
set -eu

unit=/etc/systemd/system/dstack-shim.service
state=/run/dstack-shim.service

value() { sed -n "s/^$1=-\{0,1\}//p" "$unit"; }

stop() {
    [ -f "$state" ] || return 0
    # The whole session: the loop and the program.
    pkill -TERM -s "$(cat "$state")" || true
    while pgrep -s "$(cat "$state")" >/dev/null; do :; done
    rm -f "$state"
}

start() {
    # Expanded by the loop's own shell.
    # shellcheck disable=SC2016
    setsid sh -c '
        echo $$ >"$3.new" && mv "$3.new" "$3"
        [ ! -f "$1" ] || { set -a; . "$1"; set +a; }
        while :; do "$2"; sleep 3; done
    ' supervisor "$(value EnvironmentFile)" "$(value ExecStart)" "$state" >>/var/log/dstack-shim.log 2>&1 </dev/null &
    while [ ! -f "$state" ]; do :; done
}

[ "${1:-}" != --quiet ] || shift
case ${1:-} in
    daemon-reload | enable) ;;
    restart) stop && start ;;
    stop | disable) stop ;;
    status) if [ -f "$state" ]; then echo "Active: active (running)"; else echo "Active: inactive (dead)"; fi ;;
    *)
        echo "systemctl: $* is not known to the stand-in" >&2
        exit 1
        ;;
esac
