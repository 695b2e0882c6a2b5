#pragma once

#include <cerrno>
#include <exception>
#include <new>
#include <string>

#include "common/error.h"

namespace dstack {

// What the exception says; for bad_alloc the system's text for ENOMEM, "Cannot allocate memory" or "Out of memory".
inline std::string reason_of(const std::exception& error) {
  return dynamic_cast<const std::bad_alloc*>(&error) != nullptr ? describe_errno(ENOMEM) : error.what();
}

}  // namespace dstack
