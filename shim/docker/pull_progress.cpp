#include "shim/docker/pull_progress.h"

#include "shim/docker/engine_answers.h"
#include "shim/docker/pull_line.h"

namespace dstack::shim::docker {

namespace {

// A longer line is not a progress line.
constexpr std::size_t kProgressLineLimit = std::size_t{1} << 20;

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
  const std::optional<PullLine> message = parse_pull_line(line);
  if (!message) return false;

  if (!message->error.empty()) error_ = one_line(message->error);
  const std::string& status = message->status;
  if (status.starts_with("Status:")) {
    completed_ = true;
    // containerd's image store does not say of each layer that it was extracted.
    for (auto& [name, layer] : layers_) layer.downloaded = layer.extracted = layer.total;
    return true;
  }
  if (message->id.empty()) return false;

  Layer layer;
  const auto known = layers_.find(message->id);
  if (known != layers_.end()) layer = known->second;
  const bool bytes = message->units.empty() || message->units == "bytes";
  const std::uint64_t current = message->current;
  const std::uint64_t total = message->total;

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
  layers_.insert_or_assign(message->id, std::move(layer));
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
