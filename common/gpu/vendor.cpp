#include "common/gpu/vendor.h"

#include <system_error>

namespace dstack::gpu {

namespace {

constexpr std::string_view kWslTool = "usr/lib/wsl/lib/nvidia-smi";

}  // namespace

Vendor detect_vendor(const std::filesystem::path& root) {
  const auto there = [&root](std::string_view path) {
    std::error_code ignored;
    return std::filesystem::exists(root / path, ignored);
  };
  if (there("dev/nvidiactl")) return Vendor::nvidia;
  // WSL2 has one device node for every maker's graphics units.
  if (there("dev/dxg") && there(kWslTool)) return Vendor::nvidia;
  if (there("dev/tenstorrent")) return Vendor::tenstorrent;
  if (there("dev/kfd")) return Vendor::amd;
  if (there("dev/accel")) return Vendor::intel;
  return Vendor::none;
}

std::string nvidia_tool(const std::filesystem::path& root) {
  std::error_code ignored;
  if (std::filesystem::exists(root / "dev/nvidiactl", ignored)) return "nvidia-smi";
  const std::filesystem::path beside_library = root / kWslTool;
  return std::filesystem::exists(beside_library, ignored) ? beside_library.string() : "nvidia-smi";
}

std::string_view name_of(Vendor vendor) {
  switch (vendor) {
    case Vendor::nvidia: return "nvidia";
    case Vendor::amd: return "amd";
    case Vendor::intel: return "intel";
    case Vendor::tenstorrent: return "tenstorrent";
    case Vendor::none: break;
  }
  return "none";
}

}  // namespace dstack::gpu
