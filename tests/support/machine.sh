#!/bin/sh
# Process 1 of a machine of the test's own (machine.py): started in new mount, network and process namespaces, it makes the
# file system and becomes the Docker daemon.
#
#   machine.sh NAME FOLDER SHARED...
set -e
name=$1
disk=$2
shift 2

# In memory: an overlay does not go on every file system, and nothing is left to clean up.
mount -t tmpfs -o mode=755 machine "$disk"
root=$disk/root
mkdir "$disk/upper" "$disk/work" "$disk/docker" "$root"
mount -t overlay -o "lowerdir=/,upperdir=$disk/upper,workdir=$disk/work" machine "$root"
for path in "$@"; do
    mkdir -p "$root$path"
    mount --rbind "$path" "$root$path"
done
mount -t proc proc "$root/proc"
mount -t sysfs sysfs "$root/sys"
mount --rbind /sys/fs/cgroup "$root/sys/fs/cgroup"
mount --rbind /dev "$root/dev"
mount -t tmpfs -o mode=755 run "$root/run"
mkdir -p "$root/var/lib/docker" "$root/.outside" "$root/run/lock" "$root/run/sshd"
mount --bind "$disk/docker" "$root/var/lib/docker"
cd "$root"
pivot_root . .outside
umount -l /.outside
hostname "$name"
echo "127.0.0.1 $name" >>/etc/hosts
ip link set lo up
touch /this-machine
exec dockerd --cgroup-parent "/$name" </dev/null
