#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "shim/docker/pull_times.h"

namespace dstack::shim::docker {

// A task's `image_pull_progress`.
struct PullProgress {
  std::uint64_t downloaded_bytes = 0;
  std::uint64_t extracted_bytes = 0;
  std::uint64_t total_bytes = 0;
  bool is_total_bytes_final = false;  // the size of every layer is known
  PullActivity activity = PullActivity::other;

  // The numbers.
  friend bool operator==(const PullProgress& one, const PullProgress& other) {
    return one.downloaded_bytes == other.downloaded_bytes && one.extracted_bytes == other.extracted_bytes &&
           one.total_bytes == other.total_bytes && one.is_total_bytes_final == other.is_total_bytes_final;
  }
};

// Reads the engine's pull stream: JSON lines, undocumented but stable for ten years. One thread.
class PullStream {
 public:
  // Takes the next piece, cut anywhere. Lines that are no JSON are passed over. Returns whether anything moved: a
  // layer's state or numbers, or the end; a repeated line does not count.
  bool take(std::string_view piece);

  PullActivity activity() const;

  // Nothing until the first layer is named.
  std::optional<PullProgress> progress() const;

  // The engine said "Status: …", its last word after a pull that worked.
  bool completed() const { return completed_; }
  // Podman's last word is a plain "complete" with the image's id, which layers get as well: whoever sees it at the end
  // of the stream still has to look whether the image is there.
  bool may_be_completed_by_podman() const { return podman_done_ && error_.empty(); }
  // The last error in the stream, in the engine's words, on one line; empty if there is none.
  const std::string& error() const { return error_; }

 private:
  struct Layer {
    std::string status;
    std::uint64_t downloaded = 0;
    std::uint64_t extracted = 0;
    std::uint64_t total = 0;
    std::uint64_t ticks = 0;  // seconds of extraction, as newer engines count

    friend bool operator==(const Layer&, const Layer&) = default;
  };

  bool take_line(std::string_view line);

  std::map<std::string, Layer, std::less<>> layers_;
  std::string rest_;
  std::string error_;
  bool completed_ = false;
  bool podman_done_ = false;
};

}  // namespace dstack::shim::docker
