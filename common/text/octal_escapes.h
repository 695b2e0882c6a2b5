#pragma once

#include <string>
#include <string_view>

namespace dstack::text {

// "\040" and the like as the byte that it stands for: how the kernel's tables and /etc/fstab write blanks and
// backslashes in paths. A backslash without three octal digits, or with more than a byte's, stays as it is.
std::string unescape_octal(std::string_view text);

}  // namespace dstack::text
