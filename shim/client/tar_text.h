#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace dstack::shim::client {

// A tar archive of text files, in memory.
class TarText {
 public:
  // `name` has at most 99 bytes. `time`: seconds since the epoch.
  void add(std::string_view name, std::string_view content, std::int64_t time);
  // The whole archive.
  std::string finish() &&;

 private:
  std::string bytes_;
};

}  // namespace dstack::shim::client
