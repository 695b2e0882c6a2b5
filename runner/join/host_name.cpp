#include "runner/join/host_name.h"

#include <unistd.h>

#include <array>

#include "common/error.h"

namespace dstack::runner::join {

std::string host_name() {
  std::array<char, 256> name{};
  if (::gethostname(name.data(), name.size() - 1) != 0) throw os_error("look up", "the host's name");
  return name.data();
}

}  // namespace dstack::runner::join
