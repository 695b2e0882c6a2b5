#!/bin/sh
# Installs dstack-shim and dstack-runner on a Linux host, from a release or from a local build, and starts the shim.
#
#   curl -fsSL URL/install.sh | sh          installs what lies beside it
#   scripts/install.sh                      installs ./dist of this checkout
#
#   --from WHERE    a URL or a folder with the binaries (and SHA256SUMS; a URL must have it)
#   --root FOLDER   install into FOLDER instead of /, and start nothing
#   --no-start      install, but neither enable nor (re)start the service
#   --runner        install the two programs only, for `dstack-runner start`: no service, no settings
#   --revert        put back the binaries that the last install replaced, and restart
#   --uninstall     stop the service and remove what was installed; tasks' containers and the home folder stay
#   --dry-run       say what would be done
#   --print-unit    print the systemd unit
#
# Running it again upgrades. Tasks keep running meanwhile: the shim finds them again. Needs root, and sha256sum, and curl or
# wget for a URL.
set -eu

default_from=""

print_unit() {
    cat <<'UNIT'
# Installed by dstack-shim's install.sh; your own settings go to /etc/default/dstack-shim or a drop-in.
[Unit]
Description=dstack-shim: runs tasks of dstack in containers on this host
Wants=network-online.target
After=network-online.target docker.service
# A Docker that comes back after an hour finds a shim that still tries.
StartLimitIntervalSec=0

[Service]
# The shim says when it serves (READY), what it does (STATUS) and that it still answers (WATCHDOG).
Type=notify
NotifyAccess=main
# So that ~/.dstack is root's. Not by User=root: from systemd 255 on, that takes CAP_SETUID away where NoNewPrivileges and
# SystemCallFilter are set, and no task could change the keys of a user who is not root.
Environment=HOME=/root
EnvironmentFile=-/etc/default/dstack-shim
ExecStart=/usr/local/bin/dstack-shim
Restart=always
RestartSec=3
# A first start may download the runner (10 minutes).
TimeoutStartSec=15min
TimeoutStopSec=30
WatchdogSec=60

# No new privileges, no other personalities: nothing that the shim starts (mount, mkfs.ext4, lsblk, nvidia-smi) needs them.
NoNewPrivileges=yes
LockPersonality=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
RestrictNamespaces=yes
SystemCallArchitectures=native
# Docker's socket, HTTP, interface addresses, and netlink to look up who calls.
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK
# @mount for volumes, open_by_handle_at for the cgroup of who calls; the rest is what ordinary services use.
SystemCallFilter=@system-service @mount open_by_handle_at
SystemCallErrorNumber=EPERM
# What is left: mounting (SYS_ADMIN), files and keys of any user (CHOWN, DAC_*, FOWNER, FSETID, SETUID, SETGID), looking at
# other processes' sockets (SYS_PTRACE, NET_ADMIN), ending children (KILL), and what GPU tools may need (MKNOD, SYS_RAWIO,
# SYS_RESOURCE, IPC_LOCK); the kernel's log, which has what the drivers of GPUs report (SYSLOG).
CapabilityBoundingSet=CAP_SYS_ADMIN CAP_CHOWN CAP_DAC_OVERRIDE CAP_DAC_READ_SEARCH CAP_FOWNER CAP_FSETID CAP_SETUID CAP_SETGID
CapabilityBoundingSet=CAP_SYS_PTRACE CAP_KILL CAP_MKNOD CAP_SYS_RAWIO CAP_SYS_RESOURCE CAP_IPC_LOCK CAP_NET_ADMIN CAP_SYSLOG

# Left out on purpose. Each of these gives the service a mount namespace of its own, and a volume that the shim mounts
# in there never reaches Docker, whose containers would see an empty folder:
#   ProtectSystem ProtectHome PrivateTmp PrivateDevices PrivateMounts ProtectKernelTunables ProtectKernelModules
#   ProtectKernelLogs ProtectControlGroups ProtectProc ProcSubset ReadOnlyPaths InaccessiblePaths BindPaths
#   TemporaryFileSystem RootDirectory PrivateIPC LoadCredential, and PrivateNetwork, which takes the API away as well.
# (ProtectHome hides the home folder, too.) tests/integration/test_systemd.py shows it for eight of them, and that a volume
# reaches its container under this unit.
# ProtectHostname may do so in newer versions. ProtectClock and DevicePolicy close devices that volumes and GPUs need.
# MemoryDenyWriteExecute breaks GPU libraries that compile at run time. PrivateUsers takes mounting away. UMask: the shim
# sets the mode of each file.

[Install]
WantedBy=multi-user.target
UNIT
}

usage() {
    # Piped into sh there is no file to print from.
    if [ -r "$0" ] && grep -q '^# Installs dstack-shim' "$0"; then
        sed -n '2,/^set/s/^# \{0,1\}//p' "$0"
    else
        echo "install.sh [--from WHERE] [--root FOLDER] [--no-start] [--runner] [--revert | --uninstall] [--dry-run] [--print-unit]"
    fi
}

say() { echo "-- $*" >&2; }
fail() {
    echo "install.sh: $*" >&2
    exit 1
}

# The one way that anything is changed.
do_() {
    if $dry_run; then
        echo "would: $*"
    else
        "$@"
    fi
}

has() { command -v "$1" >/dev/null 2>&1; }

from=
root=
start=true
service=true
dry_run=false
what=install
while [ $# -gt 0 ]; do
    case $1 in
        --from)
            [ $# -gt 1 ] || fail "--from needs a URL or a folder"
            from=$2
            shift
            ;;
        --root)
            [ $# -gt 1 ] || fail "--root needs a folder"
            root=${2%/}
            start=false
            shift
            ;;
        --no-start) start=false ;;
        --runner) service=false ;;
        --revert) what=revert ;;
        --uninstall) what=uninstall ;;
        --dry-run) dry_run=true ;;
        --print-unit)
            print_unit
            exit
            ;;
        -h | --help)
            usage
            exit
            ;;
        *)
            usage >&2
            exit 2
            ;;
    esac
    shift
done

[ "$(uname -s)" = Linux ] || fail "this host does not run Linux"
if [ -z "$root" ] && ! $dry_run && [ "$(id -u)" -ne 0 ]; then
    fail "run it as root (sudo sh …), or try --dry-run"
fi
case $(uname -m) in
    x86_64 | amd64) arch=amd64 ;;
    aarch64 | arm64) arch=arm64 ;;
    *) fail "there are no binaries for $(uname -m)" ;;
esac

if [ $what = install ] && [ -e "$root/usr/bin/dstack-shim" ]; then
    fail "$root/usr/bin/dstack-shim belongs to the dstack-shim package. Upgrade the package, or remove it first (dpkg --remove dstack-shim, rpm -e dstack-shim): running tasks go on"
fi

bin=$root/usr/local/bin
unit=$root/etc/systemd/system/dstack-shim.service
drop_in=$unit.d/revert.conf
settings=$root/etc/default/dstack-shim
service_manager=false
if [ -z "$root" ] && [ -d /run/systemd/system ] && has systemctl; then
    service_manager=true
fi

ours() { [ -f "$unit" ] && head -n 1 "$unit" | grep -q "dstack-shim's install.sh"; }

restart() {
    if $start && $service_manager; then
        do_ systemctl daemon-reload
        do_ systemctl --quiet enable dstack-shim
        do_ systemctl restart dstack-shim
    fi
}

if [ $what = uninstall ]; then
    if $service_manager && [ -f "$unit" ]; then
        do_ systemctl --quiet disable --now dstack-shim
    fi
    if ours; then
        do_ rm -f "$unit" "$drop_in"
        if $service_manager; then do_ systemctl daemon-reload; fi
    elif [ -f "$unit" ]; then
        say "$unit is not this script's; it stays"
    fi
    for program in dstack-shim dstack-runner; do
        do_ rm -f "$bin/$program" "$bin/$program.previous"
    done
    say "left in place: $settings, the home folder (~/.dstack) and the containers of tasks, if any"
    if ! $service_manager && [ -z "$root" ]; then
        say "a shim that was started by hand still runs; end its process"
    fi
    exit
fi

if [ $what = revert ]; then
    [ -f "$bin/dstack-shim.previous" ] || fail "$bin/dstack-shim.previous is not there: nothing to go back to"
    for program in dstack-shim dstack-runner; do
        [ -f "$bin/$program.previous" ] || continue
        do_ mv -f "$bin/$program.previous" "$bin/$program"
    done
    if ours; then
        # The program before may be one that does not notify the service manager.
        if $dry_run; then
            echo "would: write $drop_in"
        else
            mkdir -p "$(dirname "$drop_in")"
            printf '[Service]\nType=simple\nWatchdogSec=0\n' >"$drop_in"
        fi
    fi
    restart
    exit
fi

# Where from.
if [ -z "$from" ]; then from=${DSTACK_SHIM_INSTALL_FROM:-$default_from}; fi
if [ -z "$from" ] && [ -r "$0" ] && [ -d "$(dirname "$0")/../dist" ]; then
    from=$(dirname "$0")/../dist
fi
[ -n "$from" ] || fail "say --from WHERE: a folder with binaries, or the URL they were uploaded to"

case $from in
    http://* | https://*) remote=true ;;
    *)
        remote=false
        from=${from#file://}
        ;;
esac
from=${from%/}

# fetch NAME TO
fetch() {
    if ! $remote; then
        cp "$from/$1" "$2"
    elif has curl; then
        curl -fsSL --retry 3 --connect-timeout 30 -o "$2" "$from/$1"
    elif has wget; then
        wget -q -O "$2" "$from/$1"
    else
        fail "neither curl nor wget is there to download with"
    fi
}

if $dry_run; then
    new="(temporary folder)"
    echo "would: fetch $from/dstack-shim-linux-$arch and $from/dstack-runner-linux-$arch, and check them against $from/SHA256SUMS"
else
    mkdir -p "$bin"
    # Beside the target: a rename is all that is left once everything is checked.
    new=$(mktemp -d "$bin/.dstack-install.XXXXXX")
    trap 'rm -rf "$new"' EXIT
    trap 'exit 1' HUP INT TERM
    sums=true
    if $remote; then
        fetch SHA256SUMS "$new/SHA256SUMS" || fail "$from/SHA256SUMS could not be fetched: nothing is installed unchecked"
    elif [ -f "$from/SHA256SUMS" ]; then
        fetch SHA256SUMS "$new/SHA256SUMS"
    else
        say "$from has no SHA256SUMS: a local build, not checked"
        sums=false
    fi
    for program in dstack-shim dstack-runner; do
        name=$program-linux-$arch
        fetch "$name" "$new/$program" || fail "$from/$name could not be fetched"
        if $sums; then
            wanted=$(awk -v name="$name" '$2 == name || $2 == "*" name { print $1 }' "$new/SHA256SUMS")
            [ -n "$wanted" ] || fail "$from/SHA256SUMS does not name $name"
            got=$(sha256sum "$new/$program" | awk '{ print $1 }')
            [ "$wanted" = "$got" ] || fail "$from/$name is not what SHA256SUMS says: $got instead of $wanted"
        fi
        chmod 0755 "$new/$program"
        said=$("$new/$program" --version 2>&1) || fail "$from/$name does not run here: $said"
        case $said in
            "$program version "*) say "$said" ;;
            *) fail "$from/$name says '$said' instead of its name and version" ;;
        esac
    done
fi

for program in dstack-runner dstack-shim; do
    if [ -f "$bin/$program" ] && ! cmp -s "$bin/$program" "$new/$program"; then
        do_ ln -f "$bin/$program" "$bin/$program.previous"
    fi
    do_ mv -f "$new/$program" "$bin/$program"
done

if ! $service; then
    if [ -z "$root" ] && ! $dry_run; then
        say "next: dstack-runner config --token TOKEN --server URL; sudo dstack-runner start"
    fi
    exit
fi

if [ ! -f "$settings" ]; then
    if $dry_run; then
        echo "would: write $settings"
    else
        mkdir -p "$(dirname "$settings")"
        cat >"$settings" <<'SETTINGS'
# Settings of dstack-shim, one VARIABLE=value a line; `dstack-shim --help` names them.
#DSTACK_SHIM_HOME=/root/.dstack
#DSTACK_SHIM_LOG_LEVEL=info
SETTINGS
        chmod 0644 "$settings"
    fi
fi

if [ -f "$unit" ] && ! ours; then
    say "$unit is not this script's (a server that made this host part of a fleet writes one); it stays"
elif $service_manager || [ -d "$(dirname "$unit")" ]; then
    if $dry_run; then
        echo "would: write $unit"
    else
        mkdir -p "$(dirname "$unit")"
        print_unit >"$new/unit"
        chmod 0644 "$new/unit"
        mv -f "$new/unit" "$unit"
        rm -f "$drop_in"
    fi
fi
if $service_manager; then
    restart
    if $start && ! $dry_run; then
        say "dstack-shim runs; look at it with: systemctl status dstack-shim; journalctl -u dstack-shim"
    fi
elif [ -z "$root" ]; then
    say "no systemd here; start the shim, and start it again whenever it ends (an update ends it), for example:"
    echo "nohup sh -c 'while :; do $bin/dstack-shim; sleep 3; done' >/dev/null 2>&1 &"
fi
if [ -z "$root" ] && ! has docker && [ ! -S /var/run/docker.sock ]; then
    say "Docker is not here yet: the shim ends, and is started again, until it is"
fi
