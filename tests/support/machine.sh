#!/bin/sh
# Process 1 of a machine of the test's own (machine.py): started in new mount, network and process namespaces, it makes the
# file system and becomes the Docker daemon, or systemd, which can start one.
#
#   machine.sh dockerd|systemd NAME FOLDER SHARED...
set -e
init=$1
name=$2
disk=$3
shift 3

# In memory: an overlay does not go on every file system, and nothing is left to clean up.
mount -t tmpfs -o mode=755 machine "$disk"
root=$disk/root
mkdir "$disk/upper" "$disk/work" "$disk/docker" "$root"
mount -t overlay -o "lowerdir=/,upperdir=$disk/upper,workdir=$disk/work" machine "$root"
mount -t tmpfs -o mode=755 run "$root/run"
for path in "$@"; do
    mkdir -p "$root$path"
    mount --rbind "$path" "$root$path"
done
mount -t proc proc "$root/proc"
mount -t sysfs sysfs "$root/sys"
if [ "$init" = dockerd ]; then
    mount --rbind /sys/fs/cgroup "$root/sys/fs/cgroup"
elif [ -e /sys/fs/cgroup/cgroup.controllers ]; then
    mount -t cgroup2 cgroup2 "$root/sys/fs/cgroup"
else
    mount -t tmpfs -o mode=755 cgroup "$root/sys/fs/cgroup"
    for group in /sys/fs/cgroup/*; do
        if [ ! -d "$group" ] || [ -L "$group" ]; then continue; fi
        mkdir "$root$group"
        case ${group##*/} in
            systemd) mount -t cgroup -o none,name=systemd cgroup "$root$group" ;;
            unified) mount -t cgroup2 cgroup2 "$root$group" ;;
            *) mount -t cgroup -o "${group##*/}" cgroup "$root$group" ;;
        esac
    done
fi
mount --rbind /dev "$root/dev"
mkdir -p "$root/var/lib/docker" "$root/.outside" "$root/run/lock" "$root/run/sshd"
mount --bind "$disk/docker" "$root/var/lib/docker"
cd "$root"
pivot_root . .outside
umount -l /.outside
hostname "$name"
echo "127.0.0.1 $name" >>/etc/hosts
ip link set lo up
touch /this-machine
if [ "$init" = systemd ]; then
    # What a host's is.
    mount --make-rshared /
    # Nothing of this machine's own services, and nothing that asks for its hardware.
    rm -rf /etc/systemd/system/*.wants
    ln -sf /lib/systemd/system/multi-user.target /etc/systemd/system/default.target
    for unit in getty.target systemd-udevd.service systemd-udev-trigger.service systemd-logind.service tmp.mount \
        dev-hugepages.mount systemd-timesyncd.service systemd-sysctl.service; do
        ln -sf /dev/null "/etc/systemd/system/$unit"
    done
    exec env -i container=dstack-test PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
        /lib/systemd/systemd --system --show-status=0
fi
exec dockerd --cgroup-parent "/$name" </dev/null
