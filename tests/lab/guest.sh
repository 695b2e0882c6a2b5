#!/bin/sh
# Makes a debootstrapped Debian a guest of the lab: run inside it, as root, once.
#
#   guest.sh KERNEL    the Debian package of the kernel
#
# Beside it lie authorized_keys (of whoever drives the lab) and busybox.tar (the only container image that a guest needs).
set -eu
kernel=$1
here=$(dirname "$0")
export DEBIAN_FRONTEND=noninteractive LC_ALL=C

# No service is started while it is installed.
printf '#!/bin/sh\nexit 101\n' >/usr/sbin/policy-rc.d
chmod 755 /usr/sbin/policy-rc.d
apt() { apt-get -qq -o Dpkg::Use-Pty=0 -o Acquire::Check-Valid-Until=false "$@" >/dev/null; }
apt update
# The initramfs has the drivers of qemu's devices only: one of all modules takes an emulated machine a minute to unpack.
mkdir -p /etc/initramfs-tools/conf.d
echo MODULES=list >/etc/initramfs-tools/conf.d/lab
apt install --no-install-recommends initramfs-tools
printf '%s\n' virtio_pci virtio_mmio virtio_blk virtio_net virtio_console ext4 >>/etc/initramfs-tools/modules
packages="$kernel systemd-sysv udev dbus docker.io openssh-server sudo apparmor iptables iproute2 e2fsprogs xfsprogs kmod netcat-openbsd procps psmisc
    ca-certificates systemd-timesyncd pigz curl fdisk"
# From Debian 13 on, the command line is a package of its own.
if apt-cache show docker-cli >/dev/null 2>&1; then packages="$packages docker-cli"; fi
# shellcheck disable=SC2086 # a list
apt install --no-install-recommends $packages
apt clean
rm -rf /var/lib/apt/lists/* /usr/share/doc/* /usr/share/man/* /usr/share/locale/* /usr/sbin/policy-rc.d

echo lab >/etc/hostname
echo '127.0.0.1 localhost lab' >/etc/hosts
echo '/dev/vda / ext4 errors=remount-ro 0 1' >/etc/fstab
printf '[Match]\nName=en* eth*\n[Network]\nDHCP=ipv4\nLinkLocalAddressing=no\n[DHCPv4]\nUseDNS=no\n' >/etc/systemd/network/lab.network
systemctl --quiet enable systemd-networkd ssh docker containerd apparmor
systemctl --quiet mask apt-daily.timer apt-daily-upgrade.timer e2scrub_all.timer e2scrub_reap.service fstrim.timer dpkg-db-backup.timer
# Docker loads its own profile. Debian's hundreds take an emulated machine a minute, and none of them is for a program here.
find /etc/apparmor.d -maxdepth 1 -type f -delete
# An emulated machine on a busy one is slow, and not broken for that.
mkdir -p /etc/systemd/system.conf.d
printf '[Manager]\nDefaultTimeoutStartSec=15min\nDefaultDeviceTimeoutSec=15min\n' >/etc/systemd/system.conf.d/lab.conf
# The journal outlives a reboot.
mkdir -p /var/log/journal

useradd --create-home --shell /bin/bash user
echo 'user ALL=(ALL) NOPASSWD: ALL' >/etc/sudoers.d/user
for home in /root /home/user; do
    mkdir -p "$home/.ssh"
    cp "$here/authorized_keys" "$home/.ssh/authorized_keys"
    chmod 700 "$home/.ssh"
    chmod 600 "$home/.ssh/authorized_keys"
done
chown -R user: /home/user/.ssh
ssh-keygen -A >/dev/null
mkdir -p /opt/lab
mv "$here/busybox.tar" /opt/lab/busybox.tar
