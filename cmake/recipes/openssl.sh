#!/usr/bin/env bash
# Configured down to what TLS 1.2 and 1.3, libcurl, libgit2, libssh2 and sshd use: 3 MB less in a static binary.
set -euo pipefail

case $TOOLCHAIN in
    *amd64*) target=linux-x86_64 ;;
    *arm64*) target=linux-aarch64 ;;
    *) target=linux-$(uname -m) ;;
esac

left_out=(
    # ways to load code at run time, programs, and what is there only for them
    shared module dso engine legacy apps tests docs autoload-config
    # protocols
    tls1 tls1_1 dtls quic srp srtp psk nextprotoneg ct ocsp comp
    # formats and services
    cms cmp ts rfc3779 http ssl-trace
    # ciphers, hashes, signatures
    aria bf camellia cast idea rc2 rc4 seed sm2 sm3 sm4 gost md4 mdc2 rmd160 whirlpool blake2 siphash siv ocb
    dsa ec2m ml-dsa slh-dsa argon2 scrypt
    # several records of TLS 1.2 in CBC mode at a time
    multiblock
    # needs makecontext, which musl has not; a prompt on the terminal, which nobody would answer
    async ui-console
    # names of source files in errors, which are not shown
    filenames
)

cd "$SOURCE"
# It remembers its prefix and the compiler's command line in the library, so it is told neutral ones.
./Configure "$target" --prefix=/usr --libdir=lib --openssldir=/etc/ssl --release "${left_out[@]/#/no-}" -Os
perl util/mkbuildinf.pl clang "$target" >crypto/buildinf.h
# Without what is there for AVX-512 and AVX-IFMA only, 0.8 MB: AES-NI makes several GB/s of GCM as well, XTS is not used,
# and RSA with a private key is rare.
sed -i 's/^open OUT,/$avx512vaes = $avx512ifma = $avxifma = 0;\n&/' crypto/modes/asm/aes-gcm-avx512.pl \
    crypto/aes/asm/aesni-xts-avx512.pl crypto/bn/asm/rsaz-?k-avx*.pl
make -j"$(nproc)" build_libs
make INSTALLTOP="$PREFIX" DESTDIR="$IMAGE" install_dev
