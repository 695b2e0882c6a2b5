#include "shim/gpu/tenstorrent.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <format>
#include <nlohmann/json.hpp>
#include <set>

#include "common/error.h"
#include "common/json/dump.h"
#include "common/os/file.h"
#include "common/text/letter_case.h"
#include "common/text/trim.h"
#include "shim/gpu/tool_container.h"
#include "shim/gpu/tool_output.h"

namespace dstack::shim::gpu {

namespace {

using nlohmann::json;

constexpr const char* kTenstorrentImage = "dstackai/tt-smi:latest";
constexpr const char* kFolder = "/dev/tenstorrent";
constexpr const char* kHugePages = "/dev/hugepages-1G";

struct Chip {
  std::string board;  // its name: "n300"; empty if it could not be read
  char side = ' ';    // 'L', 'R', or a blank where boards have no sides
  std::string board_id;
  std::string bus_id;

  // Reached through another chip, without a device node of its own.
  bool is_remote() const { return text::equal_ignoring_case(bus_id, "N/A"); }
};

// A product's name without what differs between its revisions.
std::string board_name(std::string name) {
  if (name == "bh-scrappy" || name == "p100") return "p100a";
  for (const char* family : {"p150", "p300"}) {
    if (name.starts_with(family)) return family;
  }
  return name;
}

bool is_blackhole(std::string_view board) {
  return board == "p100a" || board == "p150" || board == "p300" || board == "tt-galaxy-bh";
}

// MiB of one chip.
std::int64_t chip_memory(std::string_view board) {
  constexpr std::int64_t gib = 1024;
  for (const char* family : {"n150", "n300", "tt-galaxy-wh"}) {
    if (board.starts_with(family)) return 12 * gib;
  }
  if (board == "p100a") return 28 * gib;
  if (is_blackhole(board)) return 32 * gib;
  spdlog::warn("tt-smi: the memory of a board {} is not known", printable(board));
  return 0;
}

Chip read_chip(const json& device) {
  const json& info = member(device, "board_info");
  Chip chip{.board_id = text_member(info, "board_id"), .bus_id = text_member(info, "bus_id")};
  std::string type = text_member(info, "board_type");
  if (type.ends_with(" L") || type.ends_with(" R")) {
    chip.side = type.back();
    type = std::string(text::trim(std::string_view(type).substr(0, type.size() - 2)));
  }
  chip.board = board_name(known_value(type));
  return chip;
}

// The chips that tt-smi names. One without a board type cannot be handed out, but if it is on the bus it has a device
// node, which the numbers of those behind it depend on.
std::vector<Chip> read_chips(std::string_view output) {
  std::vector<Chip> chips;
  SkippedRows skipped("tt-smi");
  for (const json& device : json_rows(output, "board_info")) {
    const std::string row = dstack::json::dump(device);
    Chip chip = read_chip(device);
    if (chip.board.empty()) skipped.add(row, "a device without a board type");
    if (chip.board.empty() && is_placeholder(chip.bus_id)) continue;
    chips.push_back(std::move(chip));
  }
  if (std::ranges::contains(chips, 'L', &Chip::side)) {
    for (Chip& chip : chips) chip.side = chip.board.empty() ? 'L' : chip.side;
  }
  return chips;
}

// Chips with device nodes, in the order of their indices, with the memory that they bring along.
class Boards {
 public:
  void add(const Chip& chip) {
    entries_.push_back({.chip = chip, .memory = chip.board.empty() ? 0 : chip_memory(chip.board)});
  }

  // To the first of this board; false if there is none. Boards of Blackhole share ids, so that their names count too.
  bool add_memory(const Chip& chip) {
    const auto found = std::ranges::find_if(entries_, [&chip](const Entry& entry) {
      return entry.chip.board_id == chip.board_id && (entry.chip.board == chip.board || !is_blackhole(chip.board));
    });
    if (found == entries_.end()) return false;
    found->memory += chip_memory(chip.board);
    return true;
  }

  std::vector<Gpu> gpus() const {
    std::vector<Gpu> gpus;
    for (std::size_t i = 0; i < entries_.size(); ++i) {
      const auto& [chip, memory] = entries_[i];
      if (!chip.board.empty()) gpus.push_back({.id = std::to_string(i), .name = chip.board, .memory = memory});
    }
    return gpus;
  }

 private:
  struct Entry {
    Chip chip;
    std::int64_t memory = 0;
  };
  std::vector<Entry> entries_;
};

// What the tool counts beyond the device nodes that there are cannot be handed out.
void drop_without_node(Inventory& inventory, const std::filesystem::path& root) {
  std::set<std::string> nodes;
  std::error_code failure;
  std::filesystem::directory_iterator entry(root / std::string_view(kFolder).substr(1), failure);
  while (!failure && entry != std::filesystem::directory_iterator()) {
    const std::string name = entry->path().filename().string();
    if (is_id(name)) nodes.insert(name);
    entry.increment(failure);
  }
  if (nodes.empty()) return;
  std::erase_if(inventory.gpus, [&nodes](const Gpu& gpu) {
    if (nodes.contains(gpu.id)) return false;
    spdlog::warn("tt-smi: board {} has no device node {}/{}", printable(gpu.name), kFolder, gpu.id);
    return true;
  });
}

}  // namespace

Inventory parse_tt_smi(std::string_view output) {
  const std::vector<Chip> chips = read_chips(output);
  Boards boards;
  for (const Chip& chip : chips) {
    if (chip.side == 'L') boards.add(chip);
  }
  for (const Chip& chip : chips) {
    if (chip.side == 'R') boards.add_memory(chip);
  }
  for (const Chip& chip : chips) {
    if (chip.side != ' ') continue;
    if (chip.board.empty() || (is_blackhole(chip.board) ? !chip.is_remote() : !boards.add_memory(chip)))
      boards.add(chip);
  }
  for (const Chip& chip : chips) {
    if (chip.side == ' ' && chip.is_remote() && is_blackhole(chip.board)) boards.add_memory(chip);
  }
  return {.vendor = Vendor::tenstorrent, .gpus = boards.gpus()};
}

Inventory detect_tenstorrent(docker::EngineClient& engine, docker::ImagePuller& puller,
                             const std::filesystem::path& root, const std::stop_token& stop) {
  const ToolOutput output =
      run_tool_container(engine, puller, {.image = kTenstorrentImage, .command = {"-s"}, .device = kFolder}, stop);
  Inventory inventory = parse_tt_smi(output.text);
  drop_without_node(inventory, root);
  inventory = require_gpus(std::move(inventory), "tt-smi", output);
  const auto version = os::try_read_file(root / "sys/module/tenstorrent/version");
  inventory.driver_version = known_value(version.value_or(""));
  return inventory;
}

docker::GpuSettings tenstorrent_settings(const std::vector<std::string>& ids, const std::filesystem::path& root) {
  docker::GpuSettings settings;
  if (ids.empty()) return settings;
  for (const std::string& id : ids) {
    const std::string node = std::format("{}/{}", kFolder, id);
    settings.devices.push_back({.path_on_host = node, .path_in_container = node});
  }
  std::error_code ignored;
  if (std::filesystem::exists(root / std::string_view(kHugePages).substr(1), ignored)) {
    settings.mounts.push_back({.source = kHugePages, .target = kHugePages});
  }
  return settings;
}

std::string tenstorrent_id(std::string_view path) {
  const std::string prefix = std::format("{}/", kFolder);
  return path.starts_with(prefix) ? std::string(path.substr(prefix.size())) : "";
}

}  // namespace dstack::shim::gpu
