#include "shim/host/resources.h"

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sched.h>
#include <spdlog/spdlog.h>
#include <sys/statvfs.h>
#include <sys/sysinfo.h>

#include <array>
#include <bit>
#include <cerrno>
#include <format>
#include <memory>
#include <optional>

#include "common/error.h"

namespace dstack::shim::host {

namespace {

struct FreeAddresses {
  void operator()(ifaddrs* list) const { ::freeifaddrs(list); }
};

template <typename Address>
int prefix_length(const Address& mask) {
  int bits = 0;
  for (const unsigned char byte : std::bit_cast<std::array<unsigned char, sizeof(Address)>>(mask))
    bits += std::popcount(byte);
  return bits;
}

std::optional<std::string> as_cidr(const ifaddrs& entry) {
  if (entry.ifa_addr == nullptr || entry.ifa_netmask == nullptr || (entry.ifa_flags & IFF_LOOPBACK) != 0)
    return std::nullopt;
  std::array<char, INET6_ADDRSTRLEN> text{};
  int prefix = 0;
  const void* address = nullptr;
  if (entry.ifa_addr->sa_family == AF_INET) {
    const auto* ipv4 = reinterpret_cast<const sockaddr_in*>(entry.ifa_addr);
    address = &ipv4->sin_addr;
    prefix = prefix_length(reinterpret_cast<const sockaddr_in*>(entry.ifa_netmask)->sin_addr);
  } else if (entry.ifa_addr->sa_family == AF_INET6) {
    const auto* ipv6 = reinterpret_cast<const sockaddr_in6*>(entry.ifa_addr);
    address = &ipv6->sin6_addr;
    prefix = prefix_length(reinterpret_cast<const sockaddr_in6*>(entry.ifa_netmask)->sin6_addr);
  } else {
    return std::nullopt;
  }
  if (::inet_ntop(entry.ifa_addr->sa_family, address, text.data(), text.size()) == nullptr) return std::nullopt;
  return std::format("{}/{}", text.data(), prefix);
}

std::vector<std::string> find_addresses() {
  ifaddrs* list = nullptr;
  if (::getifaddrs(&list) != 0) {
    spdlog::error("list the network interfaces: {}", describe_errno(errno));
    return {};
  }
  const std::unique_ptr<ifaddrs, FreeAddresses> owner(list);
  std::vector<std::string> addresses;
  for (const ifaddrs* entry = list; entry != nullptr; entry = entry->ifa_next) {
    if (auto text = as_cidr(*entry)) addresses.push_back(std::move(*text));
  }
  return addresses;
}

// As many as this process may run on, which a cpuset of the service may limit.
int count_cpus() {
  cpu_set_t set;
  if (::sched_getaffinity(0, sizeof set, &set) == 0) return CPU_COUNT(&set);
  return ::get_nprocs();
}

std::uint64_t total_memory() {
  struct sysinfo info{};
  if (::sysinfo(&info) != 0) return 0;
  return std::uint64_t{info.totalram} * info.mem_unit;
}

std::uint64_t free_disk(const std::filesystem::path& path) {
  struct statvfs status{};
  if (::statvfs(path.c_str(), &status) != 0) {
    spdlog::error("look at the disk of {}: {}", path.string(), describe_errno(errno));
    return 0;
  }
  return std::uint64_t{status.f_bavail} * status.f_frsize;
}

}  // namespace

Resources detect_resources(const std::filesystem::path& unpack_folder) {
  return {.cpus = count_cpus(),
          .memory = total_memory(),
          .disk_size = free_disk(unpack_folder),
          .addresses = find_addresses()};
}

}  // namespace dstack::shim::host
