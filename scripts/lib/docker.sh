# shellcheck shell=bash
# Starts what tests and the quick start need of Docker, and stops at the end what it started. Source it.
#
#   docker_start                  a daemon that answers: the service's, or one of our own where no service manager is
#   registry_start                a registry on loopback that takes pushes without credentials; sets REGISTRY
#   busybox_image NAME [PROGRAM]  an image of this machine's own busybox, pushed to the registry under NAME; with the libraries that
#                                 PROGRAM needs
#   docker_stop_what_was_started
#
# What it starts logs into $DSTACK_RUN_DIR, which the caller sets.

started_processes=()

wait_until() {  # wait_until SECONDS COMMAND...: once more every 0.1 s until it succeeds
    local tries=$(($1 * 10))
    shift
    until "$@" >/dev/null 2>&1; do
        tries=$((tries - 1))
        [[ $tries -gt 0 ]] || return 1
        sleep 0.1
    done
}

docker_start() {
    if docker version >/dev/null 2>&1; then
        return
    fi
    if [[ -d /run/systemd/system ]]; then
        systemctl start docker
    else
        echo "-- starting dockerd" >&2
        setsid dockerd >"$DSTACK_RUN_DIR/dockerd.log" 2>&1 </dev/null &
        started_processes+=($!)
    fi
    if ! wait_until 60 docker version; then
        echo "The Docker daemon does not answer. Its last words:" >&2
        tail -n 20 "$DSTACK_RUN_DIR/dockerd.log" >&2 || journalctl -u docker -n 20 --no-pager >&2 || true
        return 1
    fi
}

is_open_registry() {
    [[ $(curl -s -o /dev/null -w '%{http_code}' "http://$1/v2/") == 200 ]]
}

free_port() {
    python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
}

registry_start() {
    REGISTRY=127.0.0.1:5000
    if is_open_registry "$REGISTRY"; then
        return
    fi
    # Something else is there, perhaps the distribution's registry, which asks for a password.
    if (exec 3<>"/dev/tcp/127.0.0.1/5000") 2>/dev/null; then
        REGISTRY=127.0.0.1:$(free_port)
    fi
    mkdir -p "$DSTACK_RUN_DIR/registry"
    cat >"$DSTACK_RUN_DIR/registry.yml" <<END
version: 0.1
storage: {filesystem: {rootdirectory: $DSTACK_RUN_DIR/registry}, delete: {enabled: true}}
http: {addr: "$REGISTRY"}
END
    echo "-- starting a registry on $REGISTRY" >&2
    setsid docker-registry serve "$DSTACK_RUN_DIR/registry.yml" >"$DSTACK_RUN_DIR/registry.log" 2>&1 </dev/null &
    started_processes+=($!)
    if ! wait_until 20 is_open_registry "$REGISTRY"; then
        echo "The registry does not answer. Its last words:" >&2
        tail -n 20 "$DSTACK_RUN_DIR/registry.log" >&2
        return 1
    fi
}

busybox_image() {
    local name=$1 program=${2:-} root busybox applet library
    busybox=$(command -v busybox)
    root=$(mktemp -d)
    mkdir -p "$root"/{bin,etc,root,tmp}
    cp "$busybox" "$root/bin/busybox"
    for applet in $("$busybox" --list); do
        [[ $applet == busybox ]] || ln -s busybox "$root/bin/$applet"
    done
    echo 'root:x:0:0:root:/root:/bin/sh' >"$root/etc/passwd"
    echo 'root:x:0:' >"$root/etc/group"
    chmod 1777 "$root/tmp"
    if [[ -n $program ]]; then
        # Lines such as "libm.so.6 => /lib/x86_64-linux-gnu/libm.so.6 (0x…)" and "/lib64/ld-linux-x86-64.so.2 (0x…)".
        for library in $(ldd "$program" | grep -o '/[^ ]*'); do
            install -D "$library" "$root$library"
        done
    fi
    # One fixed time for all files, so that the same busybox always makes the same layer.
    tar -C "$root" --sort=name --mtime=@0 --owner=0 --group=0 -c . |
        docker import --change 'ENV PATH=/bin' - "$name" >/dev/null
    rm -rf "$root"
    docker push --quiet "$name" >/dev/null
}

docker_stop_what_was_started() {
    local process
    for process in "${started_processes[@]}"; do
        kill "$process" 2>/dev/null || true
    done
    for process in "${started_processes[@]}"; do
        wait "$process" 2>/dev/null || true
    done
    started_processes=()
}
