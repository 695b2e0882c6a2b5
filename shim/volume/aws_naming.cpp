#include "shim/volume/aws_naming.h"

#include <algorithm>
#include <chrono>
#include <format>

#include "common/error.h"
#include "common/os/command.h"
#include "common/text/split.h"

namespace dstack::shim::volume {

namespace {

constexpr std::chrono::seconds kAppearanceLimit{30};
constexpr std::chrono::milliseconds kAttachPollInterval{500};
constexpr std::chrono::seconds kLsblkLimit{10};

std::string serial_of(std::string_view volume_id) {
  std::string serial(volume_id);
  if (const std::size_t dash = serial.find('-'); dash != std::string::npos) serial.erase(dash, 1);
  return serial;
}

// "├─nvme0n1p1" → "nvme0n1p1"
std::string_view without_tree(std::string_view name) {
  const auto is_drawing = [](char c) {
    return (static_cast<unsigned char>(c) & 0x80) != 0 || c == '|' || c == '`' || c == '-';
  };
  name.remove_prefix(static_cast<std::size_t>(std::ranges::find_if_not(name, is_drawing) - name.begin()));
  return name;
}

struct Disk {
  std::string_view name;
  std::string_view serial;
};

template <typename Match>
std::optional<Disk> find_disk(std::string_view lsblk_output, Match match) {
  while (!lsblk_output.empty()) {
    const auto words = text::split_words(text::take_line(lsblk_output));
    if (words.size() != 2) continue;
    const Disk disk{.name = without_tree(words[0]), .serial = words[1]};
    if (!disk.name.empty() && match(disk)) return disk;
  }
  return std::nullopt;
}

// The names below /dev that a disk may have which was attached as `name`.
std::vector<std::string> names_of(std::string_view name) {
  constexpr std::string_view folder = "/dev/";
  constexpr std::string_view scsi = "sd";
  if (!name.starts_with(folder)) return {};
  name.remove_prefix(folder.size());
  std::vector<std::string> names{std::string(name)};
  if (name.starts_with(scsi)) names.push_back("xvd" + std::string(name.substr(scsi.size())));
  return names;
}

// One that hangs is an answer like one that fails, and asked for again: a host that has just got a disk may be busy
// with it.
os::CommandResult run_lsblk(std::vector<std::string> arguments, const std::stop_token& stop, os::Clock& clock) {
  arguments.insert(arguments.begin(), "lsblk");
  os::CommandResult result = os::run_command({.arguments = std::move(arguments), .limit = kLsblkLimit}, stop, clock);
  if (result.end == os::CommandResult::End::cancelled) throw Error(ErrorKind::cancelled, "lsblk: cancelled");
  return result;
}

// `problem` becomes the reason if there is none.
std::optional<std::filesystem::path> look_for_disk(const VolumeInfo& volume, const std::filesystem::path& dev,
                                                   std::string& problem, const std::stop_token& stop,
                                                   os::Clock& clock) {
  const auto result = run_lsblk({"-o", "NAME,SERIAL"}, stop, clock);
  if (const auto disk = disk_with_volume(result.output, volume.volume_id)) return dev / *disk;
  problem = result.succeeded() ? "no disk has its serial" : "lsblk " + result.describe();
  // Without the list nobody knows what else may have the name.
  if (!result.succeeded() || !volume.device_name || volume.device_name->empty()) return std::nullopt;
  for (const std::string& name : names_of(*volume.device_name)) {
    // The kernel gives names as it finds disks: this may be some other volume by now.
    std::filesystem::path path = dev / name;
    std::error_code error;
    const std::filesystem::path real = std::filesystem::canonical(path, error);
    if (error) continue;
    const auto other = volume_on_disk(result.output, real.filename().string());
    if (!other) return path;
    problem = std::format("{} is {}", path.string(), *other);
  }
  return std::nullopt;
}

}  // namespace

std::optional<std::string> disk_with_volume(std::string_view lsblk_output, std::string_view volume_id) {
  const std::string serial = serial_of(volume_id);
  if (serial.empty()) return std::nullopt;
  const auto disk = find_disk(lsblk_output, [&serial](const Disk& candidate) { return candidate.serial == serial; });
  return disk ? std::optional<std::string>(disk->name) : std::nullopt;
}

std::optional<std::string> volume_on_disk(std::string_view lsblk_output, std::string_view disk) {
  const auto found = find_disk(lsblk_output, [disk](const Disk& candidate) { return candidate.name == disk; });
  if (!found || !found->serial.starts_with("vol")) return std::nullopt;
  return "vol-" + std::string(found->serial.substr(3));
}

std::optional<std::string> first_partition(std::string_view lsblk_output) {
  const auto first = text::split_words(text::take_line(lsblk_output));
  if (first.empty()) return std::nullopt;
  while (!lsblk_output.empty()) {
    const auto words = text::split_words(text::take_line(lsblk_output));
    // A partition has the disk's name and a number; whatever else is stacked on a disk has a name of its own.
    if (!words.empty() && words[0].starts_with(first[0]) && words[0].size() > first[0].size())
      return std::string(words[0]);
  }
  return std::nullopt;
}

std::filesystem::path find_aws_device(const VolumeInfo& volume, const std::filesystem::path& dev,
                                      const std::stop_token& stop, os::Clock& clock) {
  const os::SteadyTime deadline = clock.now() + kAppearanceLimit;
  while (true) {
    std::string problem;
    if (const auto disk = look_for_disk(volume, dev, problem, stop, clock)) {
      // lsblk knows nothing of a disk that has no size yet.
      const auto result = run_lsblk({"-ln", "-o", "NAME", disk->string()}, stop, clock);
      if (result.succeeded()) {
        const auto partition = first_partition(result.output);
        return partition ? dev / *partition : *disk;
      }
      problem = std::format("lsblk {} {}", disk->string(), result.describe());
    }
    if (clock.now() >= deadline) {
      throw Error(ErrorKind::timed_out,
                  std::format("find volume {} ({}): no such device after {} s: {}", printable(volume.name),
                              printable(volume.volume_id), kAppearanceLimit.count(), problem));
    }
    if (!os::pause(clock, kAttachPollInterval, stop)) {
      throw Error(ErrorKind::cancelled, std::format("find volume {}: cancelled", printable(volume.name)));
    }
  }
}

}  // namespace dstack::shim::volume
