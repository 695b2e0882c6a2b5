#pragma once

#include <cstdint>
#include <map>
#include <string>

namespace dstack::shim::gpu {

// Why a GPU is set aside.
struct Sickness {
  std::string reason;
  std::int64_t since = 0;  // seconds since the epoch

  friend bool operator==(const Sickness&, const Sickness&) = default;
};

// By the GPUs' ids.
using Sicknesses = std::map<std::string, Sickness>;

}  // namespace dstack::shim::gpu
