#include "shim/ci/program_output.h"

#include <unistd.h>

#include <algorithm>
#include <format>
#include <iostream>

#include "common/os/file.h"
#include "common/text/number.h"

namespace dstack::shim::ci {

namespace {

std::string limit_of(std::uint64_t memory) {
  constexpr std::uint64_t kMebi = 1 << 20;
  if (memory == 0) return "the host's memory";
  return memory % kMebi == 0 ? std::format("{} MiB", memory / kMebi) : std::format("{} bytes", memory);
}

}  // namespace

std::string program_id(std::string_view name) {
  std::string id = std::format("{}-{}", ::getpid(), name.substr(0, 40));
  std::ranges::replace_if(
      id, [](char c) { return !((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || text::is_digit(c) || c == '-'); },
      '_');
  return id;
}

void pass_on(client::Stream stream, std::string_view piece) {
  const int fd = stream == client::Stream::output ? STDOUT_FILENO : STDERR_FILENO;
  os::write_all(fd, piece, "the output of the job");
}

int report_end(const client::ProgramEnd& end, std::uint64_t memory) {
  if (end.out_of_memory && end.status() != 0)
    std::cerr << std::format("out of memory (limit {})", limit_of(memory)) << '\n';
  return end.status();
}

}  // namespace dstack::shim::ci
