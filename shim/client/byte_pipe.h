#pragma once

#include <exception>
#include <functional>
#include <span>
#include <string_view>
#include <thread>

#include "common/os/unique_fd.h"

namespace dstack::shim::client {

// Bytes from a function that writes, which has a thread of its own, to one that reads: the kernel's pipe holds one up
// for the other. The writer ends early once nobody reads: its `write` returns false.
class BytePipe {
 public:
  using Write = std::function<bool(std::string_view)>;

  // Throws Error.
  explicit BytePipe(std::function<void(const Write& write)> writer);
  BytePipe(const BytePipe&) = delete;
  BytePipe& operator=(const BytePipe&) = delete;
  // Waits for the writer.
  ~BytePipe();

  int fd() const { return reading_.get(); }
  // 0 at the end. Throws what the writer threw, then.
  std::size_t read(std::span<char> into);
  // Nothing is read any more; throws what the writer threw.
  void finish();

 private:
  void join();

  os::UniqueFd reading_;
  os::UniqueFd writing_;
  std::exception_ptr failure_;
  std::thread thread_;
};

}  // namespace dstack::shim::client
