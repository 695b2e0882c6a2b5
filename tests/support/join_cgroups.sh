#!/bin/sh
# Becomes a program in cgroups of its own, all named alike; for a machine with systemd, which takes what it finds for its own.
#
#   join_cgroups.sh NAME PROGRAM ARGUMENT...
name=$1
shift
for group in /sys/fs/cgroup /sys/fs/cgroup/*; do
    if [ ! -L "$group" ] && [ -w "$group/cgroup.procs" ]; then
        mkdir -p "$group/$name"
        for file in cpuset.cpus cpuset.mems; do
            # The old hierarchy's groups start with none.
            [ ! -e "$group/$file" ] || cat "$group/$file" >"$group/$name/$file"
        done
        echo $$ >"$group/$name/cgroup.procs"
    fi
done
exec "$@"
