#include "shim/dcgm/helper.h"

#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <format>
#include <string_view>

#include "common/error.h"

extern "C" const char dstack_dcgm_health[], dstack_dcgm_health_end[];

namespace dstack::shim::dcgm {

namespace {

constexpr const char* kName = "dcgm-health";

// Newer kernels want to be told that it is a program; older ones do not know the flag.
int create_memory_file() {
  constexpr unsigned kExecutable = 0x10;  // MFD_EXEC, since Linux 6.3
  const int file = ::memfd_create(kName, MFD_CLOEXEC | kExecutable);
  return file < 0 && errno == EINVAL ? ::memfd_create(kName, MFD_CLOEXEC) : file;
}

}  // namespace

HelperProgram::HelperProgram() : file_(create_memory_file()) {
  if (!file_) throw os_error("create a file in memory for", kName);
  for (std::string_view rest(dstack_dcgm_health, dstack_dcgm_health_end); !rest.empty();) {
    const ssize_t written = ::write(file_.get(), rest.data(), rest.size());
    if (written < 0) throw os_error("write to memory", kName);
    rest.remove_prefix(static_cast<std::size_t>(written));
  }
}

std::vector<std::string> HelperProgram::command(const std::string& address) const {
  // By this process's number, since the child has closed its own descriptors when it becomes the program.
  return {std::format("/proc/{}/fd/{}", ::getpid(), file_.get()), address};
}

}  // namespace dstack::shim::dcgm
