#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <string_view>

#include "common/os/unique_fd.h"

namespace dstack::runner::repo {

// Contents that wait on disk until they are needed: appended one after the other, read by their place. The file has no
// name and goes with this object.
class Spool {
 public:
  // In `folder`, which exists. Throws Error.
  explicit Spool(const std::filesystem::path& folder);

  struct Range {
    std::uint64_t start = 0;
    std::uint64_t size = 0;
  };

  // Where the next byte goes.
  std::uint64_t end() const { return end_; }
  void append(std::string_view data);
  // All that was appended from `start` on.
  Range since(std::uint64_t start) const { return {.start = start, .size = end_ - start}; }

  // Hands the bytes over, valid during the call.
  void read(Range range, const std::function<void(std::string_view)>& take);

 private:
  void flush();

  os::UniqueFd file_;
  std::uint64_t end_ = 0;
  std::string unwritten_;
};

}  // namespace dstack::runner::repo
