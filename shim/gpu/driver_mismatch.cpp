#include "shim/gpu/driver_mismatch.h"

#include <algorithm>
#include <array>
#include <format>
#include <vector>

#include "common/error.h"
#include "common/os/file.h"
#include "common/text/letter_case.h"
#include "common/text/number.h"
#include "common/text/split.h"
#include "common/text/trim.h"

namespace dstack::shim::gpu {

namespace {

namespace fs = std::filesystem;

// "550.54.15", "535.104"
bool is_version(std::string_view text) {
  const auto parts = text::split(text, '.');
  return parts.size() >= 2 && std::ranges::all_of(parts, text::is_digits);
}

std::string version_of_module(const fs::path& root) {
  const std::string module = os::try_read_file(root / "sys/module/nvidia/version").value_or("");
  if (is_version(text::trim(module))) return std::string(text::trim(module));
  const std::string driver = os::try_read_file(root / "proc/driver/nvidia/version").value_or("");
  for (const std::string_view word : text::split_words(driver)) {
    if (is_version(word)) return std::string(word);
  }
  return {};
}

// The library's file is named after its version, wherever a distribution has it.
std::vector<std::string> versions_of_library(const fs::path& root) {
  constexpr std::array folders{"usr/lib/x86_64-linux-gnu", "usr/lib/aarch64-linux-gnu", "usr/lib64", "usr/lib"};
  constexpr std::string_view prefix = "libnvidia-ml.so.";
  std::vector<std::string> versions;
  for (const char* folder : folders) {
    std::error_code failure;
    const std::string file = fs::canonical(root / folder / "libnvidia-ml.so.1", failure).filename().string();
    if (failure || !file.starts_with(prefix)) continue;
    std::string version = file.substr(prefix.size());
    if (is_version(version)) versions.push_back(std::move(version));
  }
  return versions;
}

}  // namespace

std::optional<std::string> find_driver_mismatch(const fs::path& root) {
  const std::string module = version_of_module(root);
  const std::vector<std::string> libraries = versions_of_library(root);
  if (module.empty() || libraries.empty() || std::ranges::contains(libraries, module)) return std::nullopt;
  return std::format("{} (the kernel has {}, the library is {})", kDriverMismatch, module, libraries.front());
}

bool names_driver_mismatch(std::string_view message) {
  return text::lower_case(message).contains("driver/library version mismatch");
}

}  // namespace dstack::shim::gpu
