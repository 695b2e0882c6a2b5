#!/usr/bin/env bash
set -euo pipefail

# 1.11.1 is the latest release, and a hostile server can make it write outside of its buffers or loop
# (docs/known-vulnerabilities.md, CVE-2026-55199, 55200, 66033, 66035). Until there is another, these checks are added.
#   replace FILE FROM TO   in the only line that has FROM; a line that is not there, or not alone, is an error
replace() {
    local count
    count=$(grep -cF -- "$2" "$SOURCE/src/$1") || true
    if [[ $count != 1 ]]; then
        echo "libssh2: $count lines of $1 have: $2" >&2
        exit 1
    fi
    FROM=$2 TO=$3 perl -0pi -e 's/\Q$ENV{FROM}\E/$ENV{TO}/' "$SOURCE/src/$1"
}

# The sum of this length and the MAC's would wrap around, and too little memory would be allocated.
perl -0pi -e 's/(= _libssh2_ntohu32\(block\);\s+if\(p->packet_length < 1)\)\n/$1 || p->packet_length > LIBSSH2_PACKET_MAXPAYLOAD)\n/' \
    "$SOURCE/src/transport.c"
grep -qF 'packet_length < 1 || p->packet_length > LIBSSH2_PACKET_MAXPAYLOAD' "$SOURCE/src/transport.c"
# A packet that is shorter than a block, or than its padding.
replace transport.c 'rc = decrypt(session, p->payload + 4,' \
    'if(p->packet_length < (uint32_t)blocksize) return LIBSSH2_ERROR_DECRYPT;
                rc = decrypt(session, p->payload + 4,'
replace transport.c 'p->padding_length = first_block[0];' \
    'p->padding_length = first_block[0];
                if(p->padding_length > p->packet_length - 1) {
                    LIBSSH2_FREE(session, decrypt_buffer);
                    return LIBSSH2_ERROR_DECRYPT;
                }'
# Assertions that a release does not have.
replace openssl.c 'assert(blocksize <= sizeof(buf));' 'if(blocksize > sizeof(buf)) return 1;'
replace openssl.c 'assert(cryptlen >= 0);' 'if(cryptlen < 0) return 1;'
# A list that is said to have more items than the packet.
replace packet.c '_libssh2_get_string(&buf, &name, &name_len);' 'if(_libssh2_get_string(&buf, &name, &name_len)) break;'
replace packet.c '_libssh2_get_string(&buf, &value, &value_len);' 'if(_libssh2_get_string(&buf, &value, &value_len)) break;'

cmake_install \
    -DCRYPTO_BACKEND=OpenSSL \
    -DENABLE_ZLIB_COMPRESSION=OFF \
    -DBUILD_EXAMPLES=OFF \
    -DBUILD_TESTING=OFF
