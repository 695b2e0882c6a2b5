#include "shim/docker/pull_progress.h"

#include <nlohmann/json.hpp>

#include "common/json/member.h"
#include "shim/docker/engine_answers.h"

namespace dstack::shim::docker {

namespace {

using nlohmann::json;

// A longer line is not a progress line.
constexpr std::size_t kProgressLineLimit = std::size_t{1} << 20;

std::uint64_t number(const json& object, std::string_view name) {
  const auto found = object.find(name);
  if (found == object.end()) return 0;
  if (found->is_number_unsigned()) return found->get<std::uint64_t>();
  // Negative ones are the engine's way to say that it does not know.
  return 0;
}

}  // namespace

bool PullStream::take(std::string_view piece) {
  bool moved = false;
  rest_ += piece;
  std::size_t start = 0;
  for (std::size_t end = 0; (end = rest_.find('\n', start)) != std::string::npos; start = end + 1) {
    moved |= take_line(std::string_view(rest_).substr(start, end - start));
  }
  rest_.erase(0, start);
  if (rest_.size() > kProgressLineLimit) rest_.clear();
  return moved;
}

bool PullStream::take_line(std::string_view line) {
  const json message = json::parse(line, nullptr, false);
  if (!message.is_object()) return false;

  if (const auto detail = message.find("errorDetail");
      detail != message.end() && !dstack::json::text_member(*detail, "message").empty()) {
    error_ = one_line(dstack::json::text_member(*detail, "message"));
  } else if (const std::string error = dstack::json::text_member(message, "error"); !error.empty()) {
    error_ = one_line(error);
  }

  const std::string status = dstack::json::text_member(message, "status");
  const std::string id = dstack::json::text_member(message, "id");
  if (status.starts_with("Status:")) {
    completed_ = true;
    // containerd's image store does not say of each layer that it was extracted.
    for (auto& [name, layer] : layers_) layer.downloaded = layer.extracted = layer.total;
    return true;
  }
  if (id.empty()) return false;

  Layer layer;
  const auto known = layers_.find(id);
  if (known != layers_.end()) layer = known->second;
  const auto detail = message.find("progressDetail");
  const bool has_detail = detail != message.end() && detail->is_object();
  // "bytes" is left unsaid; newer engines count the extraction in seconds ("s").
  const std::string units = has_detail ? dstack::json::text_member(*detail, "units") : "";
  const bool bytes = units.empty() || units == "bytes";
  const std::uint64_t current = has_detail ? number(*detail, "current") : 0;
  const std::uint64_t total = has_detail ? number(*detail, "total") : 0;

  podman_done_ = false;
  if (status == "Downloading") {
    if (bytes) {
      layer.downloaded = current;
      layer.total = total;
    }
  } else if (status == "Download complete") {
    layer.downloaded = layer.total;
    podman_done_ = true;
  } else if (status == "Extracting") {
    if (bytes) {
      layer.extracted = current;
      layer.downloaded = total;
      layer.total = total;
    } else {
      layer.ticks = current;
    }
  } else if (status == "Pull complete") {
    layer.extracted = layer.total;
    layer.downloaded = layer.total;
    podman_done_ = true;
  } else if (status != "Pulling fs layer" && status != "Waiting" && status != "Verifying Checksum" &&
             status != "Already exists") {
    return false;  // of no layer: {"status":"Pulling from library/python","id":"3.11"}
  }
  layer.status = status;
  if (known != layers_.end() && known->second == layer) return false;
  layers_.insert_or_assign(id, std::move(layer));
  return true;
}

PullActivity PullStream::activity() const {
  bool unpacking = false;
  bool waiting = false;
  for (const auto& [id, layer] : layers_) {
    // A download whose turn has come is "Pulling fs layer" until the first bytes are there.
    if (layer.status == "Downloading" || layer.status == "Verifying Checksum" || layer.status == "Pulling fs layer")
      return PullActivity::downloading;
    // One that is downloaded waits for the layers below it to be unpacked.
    unpacking = unpacking || layer.status == "Extracting" || layer.status == "Download complete";
    waiting = waiting || layer.status == "Waiting";
  }
  if (unpacking) return PullActivity::unpacking;
  return waiting ? PullActivity::waiting : PullActivity::other;
}

std::optional<PullProgress> PullStream::progress() const {
  if (layers_.empty()) return std::nullopt;
  PullProgress sum{.is_total_bytes_final = true, .activity = activity()};
  for (const auto& [id, layer] : layers_) {
    // A layer that was there at once has no size in containerd's image store.
    const bool done =
        layer.status == "Already exists" || layer.status == "Download complete" || layer.status == "Pull complete";
    if (layer.total == 0 && !done) {
      sum.is_total_bytes_final = false;
    }
    sum.downloaded_bytes += layer.downloaded;
    sum.extracted_bytes += layer.extracted;
    sum.total_bytes += layer.total;
  }
  return sum;
}

}  // namespace dstack::shim::docker
