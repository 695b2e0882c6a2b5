#include "shim/client/byte_pipe.h"

#include <fcntl.h>
#include <unistd.h>

#include <utility>

#include "common/error.h"
#include "common/os/thread.h"

namespace dstack::shim::client {

namespace {

// False if nobody reads any more: SIGPIPE is ignored by all commands.
bool write_whole(int fd, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t count = ::write(fd, bytes.data(), bytes.size());
    if (count < 0 && errno == EINTR) continue;
    if (count < 0 && errno == EPIPE) return false;
    if (count < 0) throw os_error("write to", "a pipe");
    bytes.remove_prefix(static_cast<std::size_t>(count));
  }
  return true;
}

}  // namespace

BytePipe::BytePipe(std::function<void(const Write& write)> writer) {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) throw os_error("make", "a pipe");
  reading_ = os::UniqueFd(ends[0]);
  writing_ = os::UniqueFd(ends[1]);
  thread_ = os::start_thread("copy files", [this, writer = std::move(writer)] {
    try {
      writer([this](std::string_view bytes) { return write_whole(writing_.get(), bytes); });
    } catch (...) {
      failure_ = std::current_exception();
    }
    writing_.reset();
  });
}

BytePipe::~BytePipe() { join(); }

std::size_t BytePipe::read(std::span<char> into) {
  while (true) {
    const ssize_t count = ::read(reading_.get(), into.data(), into.size());
    if (count > 0) return static_cast<std::size_t>(count);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) throw os_error("read from", "a pipe");
    finish();
    return 0;
  }
}

void BytePipe::finish() {
  join();
  if (failure_) std::rethrow_exception(std::exchange(failure_, nullptr));
}

void BytePipe::join() {
  reading_.reset();
  if (thread_.joinable()) thread_.join();
}

}  // namespace dstack::shim::client
