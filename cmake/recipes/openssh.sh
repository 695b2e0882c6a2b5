#!/usr/bin/env bash
# The SSH server as one static program that works in any image (openssh/), stripped and compressed: the runner carries it
# and unpacks it to /dstack/ssh/bin under each of its names.
set -euo pipefail

home=/dstack/ssh
case $TOOLCHAIN in
    zig-amd64-musl) machine=x86_64 ;;
    zig-arm64-musl) machine=aarch64 ;;
esac

cd "$SOURCE"
options=(
    --host="$machine-linux-musl"
    --prefix="$home" --bindir="$home/bin" --sbindir="$home/bin" --libexecdir="$home/bin" --sysconfdir="$home/conf"
    --with-privsep-path="$home/empty" --with-privsep-user=sshd --with-pid-dir="$home"
    --with-default-path=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
    --with-ssl-dir="$ROOT_openssl" --without-openssl-header-check --with-zlib="$ROOT_zlib"
    --with-sandbox=seccomp_filter --without-stackprotect
    --without-pam --without-shadow --without-selinux --without-kerberos5 --disable-pkcs11
    # The log-ins of a container are nobody's to count.
    --disable-lastlog --disable-utmp --disable-utmpx --disable-wtmp --disable-wtmpx
    --disable-libutil --disable-pututline --disable-pututxline
)
LDFLAGS="-pie -Wl,--gc-sections" ./configure "${options[@]}"

# Their objects, as the Makefile names them.
objects() {
    make --no-print-directory -f - show <<EOF
include Makefile
show:
	@echo \$($1)
EOF
}

# The calls that openssh/ has its own answers to.
replaced=()
for call in getpwnam getpwuid chroot chdir setgroups initgroups execve stat malloc free calloc realloc reallocarray explicit_bzero; do
    replaced+=(--redefine-sym "$call=image_$call")
done

# The same for functions of sshd's own, which give way to the ones of openssh/.
weak=()
own=()
for function in poly1305_auth safe_path_fd; do
    weak+=(--weaken-symbol="$function")
    own+=(--keep-global-symbol="$function")
done

# Each program becomes one object that shows nothing but its main, so that the four can be linked together.
programs=()
combine() {
    local program=$1 variable=$2 list
    local main=${program//-/_}_main
    read -ra list <<<"$(objects "$variable")"
    make -j"$(nproc)" "${list[@]}" libssh.a openbsd-compat/libopenbsd-compat.a
    "$LD" -r -o "$program.all.o" "${list[@]}" --start-group libssh.a openbsd-compat/libopenbsd-compat.a --end-group
    llvm-objcopy-19 --redefine-sym main="$main" "${replaced[@]}" "${weak[@]}" "$program.all.o"
    llvm-objcopy-19 --keep-global-symbol="$main" "${own[@]}" "$program.all.o"
    programs+=("$program.all.o")
}
combine sshd SSHDOBJS
combine sshd-session SSHD_SESSION_OBJS
combine sshd-auth SSHD_AUTH_OBJS
combine ssh-keygen SSHKEYGEN_OBJS

# shellcheck disable=SC2086
"$CC" $CFLAGS -DHOME_FOLDER="\"$home\"" -pie -Wl,--gc-sections -s -o sshd-multicall \
    "$RECIPES"/openssh/*.c "${programs[@]}" "$ROOT_openssl/lib/libcrypto.a" "$ROOT_zlib/lib/libz.a"

mkdir -p "$IMAGE$PREFIX/share"
zstd -19 --ultra -22 -q sshd-multicall -o "$IMAGE$PREFIX/share/sshd-multicall.zst"
