#pragma once

#include <string_view>

namespace dstack::runner::repo {

// Whether a private key, in OpenSSH's form or a PEM one, is encrypted by a passphrase.
bool has_passphrase(std::string_view key);

}  // namespace dstack::runner::repo
