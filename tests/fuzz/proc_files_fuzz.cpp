// Files of /proc and of cgroups: paths, names of programs and of cgroups in them are chosen by others. The first byte
// says which file it is; of cgroups, "=== " and a path begins the next one.

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <string_view>

#include "common/os/mounts.h"
#include "common/os/proc_net.h"
#include "common/os/process_list.h"
#include "common/text/split.h"
#include "runner/metrics/cgroup.h"
#include "shim/top/host_usage.h"
#include "tests/fuzz/first_byte.h"
#include "tests/fuzz/planted.h"
#include "tests/fuzz/scratch_folder.h"

namespace {

using namespace dstack;
using test::planted_bug;

const test::ScratchFolder& folder() {
  static const test::ScratchFolder folder;
  return folder;
}

// The files below one root that an input writes; a path that leads elsewhere is not written.
void write_files(std::string_view text) {
  constexpr std::string_view kMark = "=== ";
  std::filesystem::path file;
  std::string content;
  const auto finish = [&] {
    if (!file.empty()) folder().write(file, content);
    content.clear();
  };
  while (!text.empty()) {
    const std::string_view line = text::take_line(text);
    if (!line.starts_with(kMark)) {
      content.append(line) += '\n';
      continue;
    }
    finish();
    file.clear();
    for (const char* known :
         {"proc/self/mountinfo", "proc/self/cgroup", "sys/fs/cgroup/cpu.stat", "sys/fs/cgroup/memory.current",
          "sys/fs/cgroup/memory.stat", "sys/fs/cgroup/memory.events", "sys/fs/cgroup/cpuacct.usage",
          "sys/fs/cgroup/memory.usage_in_bytes"}) {
      if (line.substr(kMark.size()) == known) file = known;
    }
  }
  finish();
}

void read(char kind, std::string_view text) {
  switch (kind) {
    case 'm': {
      const auto mounts = os::parse_mounts(text);
      for (const os::Mount& mount : mounts) os::is_of_device(mount, 1);
      planted_bug(mounts.size() == 2 && mounts[1].type == "ext4" && mounts[1].mount_point.contains(' '));
      break;
    }
    case 't':
      for (const os::TcpEntry& entry : os::parse_proc_net_tcp(text)) {
        if (entry.local_port < 0 || entry.local_port > 65535) std::abort();
        if (entry.local_address().size() > entry.local.size()) std::abort();
      }
      break;
    case 's': {
      folder().write("proc/7/stat", text);
      const auto processes = os::list_processes(folder().path() / "proc");
      if (processes.size() > 1 || (processes.size() == 1 && processes[0].pid != 7)) std::abort();
      break;
    }
    case 'c':
      write_files(text);
      runner::metrics::read_cgroup_usage(folder().path());
      runner::metrics::count_oom_kills(folder().path());
      break;
    case 'u':
      folder().write("proc/stat", text);
      shim::top::read_cpu_ticks(folder().path());
      break;
    default:
      folder().write("proc/meminfo", text);
      if (const auto memory = shim::top::read_memory(folder().path()); memory && memory->used > memory->total)
        std::abort();
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  return dstack::test::read_by_first_byte(data, size, read);
}
