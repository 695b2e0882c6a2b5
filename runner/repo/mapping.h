#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace dstack::runner::repo {

// A part of a file in memory, which the kernel can take back at any time. Nobody else may make the file shorter.
class Mapping {
 public:
  // Throws Error.
  Mapping(int fd, std::uint64_t start, std::uint64_t size);
  Mapping(const Mapping&) = delete;
  Mapping& operator=(const Mapping&) = delete;
  ~Mapping();

  std::string_view view() const;

 private:
  void* data_ = nullptr;
  std::size_t size_ = 0;
  std::size_t skip_ = 0;
};

}  // namespace dstack::runner::repo
