#include "shim/metrics/pressure.h"

#include <sys/statvfs.h>

#include <array>
#include <cstdint>
#include <optional>
#include <string_view>

#include "common/os/file.h"
#include "common/text/number.h"
#include "common/text/split.h"

namespace dstack::shim::metrics {

namespace {

struct Stall {
  std::string_view resource;
  std::string kind;  // "some": of any task, "full": of all of them at once
  double seconds;
};

// Lines as "some avg10=0.00 avg60=0.00 avg300=0.00 total=1441550", in microseconds.
void add_stalls(std::string_view resource, std::string_view text, std::vector<Stall>& stalls) {
  for (const std::string_view line : text::split_lines(text)) {
    const auto words = text::split_words(line);
    for (const std::string_view word : words) {
      if (!word.starts_with("total=")) continue;
      const auto total = text::parse_number<std::uint64_t>(word.substr(6));
      if (total) stalls.push_back({resource, std::string(words.front()), static_cast<double>(*total) / 1e6});
    }
  }
}

void write_stalls(Exposition& exposition, const std::filesystem::path& proc) {
  std::vector<Stall> stalls;
  for (const char* resource : {"cpu", "memory", "io"}) {
    if (const auto text = os::try_read_file(proc / "pressure" / resource)) add_stalls(resource, *text, stalls);
  }
  if (stalls.empty()) return;
  exposition.begin("dstack_shim_host_pressure_seconds_total", "counter",
                   "How long processes of the host waited for a resource: some of them, or all at once (full).");
  for (const Stall& stall : stalls)
    exposition.sample(stall.seconds, {{"resource", stall.resource}, {"kind", stall.kind}});
}

// Of /proc/meminfo, whose lines are as "MemTotal:       16314616 kB".
std::optional<double> memory_bytes(std::string_view text, std::string_view name) {
  for (const std::string_view line : text::split_lines(text)) {
    const auto words = text::split_words(line);
    if (words.size() < 2 || words[0] != name) continue;
    const auto kibibytes = text::parse_number<std::uint64_t>(words[1]);
    return kibibytes ? std::optional(static_cast<double>(*kibibytes) * 1024) : std::nullopt;
  }
  return std::nullopt;
}

void write_memory(Exposition& exposition, const std::filesystem::path& proc) {
  const std::string text = os::try_read_file(proc / "meminfo").value_or("");
  if (const auto total = memory_bytes(text, "MemTotal:"))
    exposition.single("dstack_shim_host_memory_bytes", "gauge", "Memory of the host.", *total);
  if (const auto available = memory_bytes(text, "MemAvailable:"))
    exposition.single("dstack_shim_host_memory_available_bytes", "gauge", "Memory that programs can still have.",
                      *available);
}

// The fourth field of /proc/loadavg is "running/all" of the host's threads, each of which has an id.
void write_process_ids(Exposition& exposition, const std::filesystem::path& proc) {
  const std::string load = os::try_read_file(proc / "loadavg").value_or("");
  const auto words = text::split_words(load);
  const std::string_view threads = words.size() > 3 ? words[3] : std::string_view();
  const std::size_t slash = threads.find('/');
  const auto used =
      slash == std::string_view::npos ? std::nullopt : text::parse_number<std::uint64_t>(threads.substr(slash + 1));
  if (used) {
    exposition.single("dstack_shim_host_pids", "gauge", "Processes and threads of the host.",
                      static_cast<double>(*used));
  }
  const std::string limit = os::try_read_file(proc / "sys/kernel/pid_max").value_or("");
  const auto limits = text::split_words(limit);
  const auto most = limits.empty() ? std::nullopt : text::parse_number<std::uint64_t>(limits.front());
  if (most) {
    exposition.single("dstack_shim_host_pids_limit", "gauge", "How many there can be (kernel.pid_max).",
                      static_cast<double>(*most));
  }
}

struct DiskFigures {
  std::string_view name;
  struct statvfs status;
};

template <typename Figure>
void write_disk_metric(Exposition& exposition, std::string_view name, std::string_view help,
                       const std::vector<DiskFigures>& disks, Figure figure) {
  exposition.begin(name, "gauge", help);
  for (const DiskFigures& disk : disks)
    exposition.sample(static_cast<double>(figure(disk.status)), {{"disk", disk.name}});
}

void write_disks(Exposition& exposition, const std::vector<WatchedDisk>& watched) {
  std::vector<DiskFigures> disks;
  for (const WatchedDisk& disk : watched) {
    DiskFigures figures{.name = disk.name, .status = {}};
    if (::statvfs(disk.folder.c_str(), &figures.status) == 0) disks.push_back(figures);
  }
  if (disks.empty()) return;
  using Status = struct statvfs;
  write_disk_metric(exposition, "dstack_shim_host_disk_bytes", "Size of the disk that holds a folder.", disks,
                    [](const Status& status) { return std::uint64_t{status.f_blocks} * status.f_frsize; });
  write_disk_metric(exposition, "dstack_shim_host_disk_free_bytes", "What is free of it.", disks,
                    [](const Status& status) { return std::uint64_t{status.f_bavail} * status.f_frsize; });
  // Some file systems have no limit, and say 0.
  write_disk_metric(exposition, "dstack_shim_host_disk_inodes", "Inodes of the disk; 0 where they are made as needed.",
                    disks, [](const Status& status) { return std::uint64_t{status.f_files}; });
  write_disk_metric(exposition, "dstack_shim_host_disk_free_inodes", "Inodes that are free.", disks,
                    [](const Status& status) { return std::uint64_t{status.f_favail}; });
}

}  // namespace

void write_pressure(Exposition& exposition, const std::vector<WatchedDisk>& disks, const std::filesystem::path& proc) {
  write_stalls(exposition, proc);
  write_memory(exposition, proc);
  write_process_ids(exposition, proc);
  write_disks(exposition, disks);
}

}  // namespace dstack::shim::metrics
