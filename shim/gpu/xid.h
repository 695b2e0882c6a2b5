#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace dstack::shim::gpu {

// A record of the kernel's log (/dev/kmsg): "6,339,5140900,-;text".
struct KernelRecord {
  std::uint64_t number = 0;
  bool is_kernels = false;  // not what a program wrote there
  std::string_view text;
};
std::optional<KernelRecord> parse_kernel_record(std::string_view line);

// An error that NVIDIA's driver reports of a GPU.
struct Xid {
  std::string bus_id;  // "0000:3b:00", without the function
  int number = 0;
};
// Of "NVRM: Xid (PCI:0000:3b:00): 79, pid=1234, …"; nothing for any other text.
std::optional<Xid> parse_xid(std::string_view text);

// What an Xid says of the GPU itself; nothing for one that a job causes, or that the driver recovers from. See the
// table in docs/operating.md.
std::optional<std::string_view> sickness_of_xid(int number);

}  // namespace dstack::shim::gpu
