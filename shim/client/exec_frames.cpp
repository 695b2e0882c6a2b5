#include "shim/client/exec_frames.h"

#include <csignal>
#include <format>
#include <nlohmann/json.hpp>

#include "common/error.h"
#include "common/exit_status.h"
#include "common/json/object_reader.h"
#include "common/os/signals.h"

namespace dstack::shim::client {

namespace {

constexpr std::size_t kFrameHeaderSize = 5;
constexpr char kOutputFrame = 1;
constexpr char kErrorsFrame = 2;
constexpr char kEndFrame = 3;
constexpr std::uint32_t kEndFrameLimit = 65536;

}  // namespace

int ProgramEnd::status() const {
  if (exit_status) return *exit_status;
  return exit_status::of_signal(os::signal_number(signal).value_or(SIGKILL));
}

void ExecFrames::read(std::string_view piece, const Take& take) {
  while (!piece.empty() && !end_) {
    if (header_.size() < kFrameHeaderSize) {
      const std::string_view more = piece.substr(0, kFrameHeaderSize - header_.size());
      header_ += more;
      piece.remove_prefix(more.size());
      if (header_.size() == kFrameHeaderSize) begin_frame();
    } else {
      const std::string_view part = piece.substr(0, left_);
      piece.remove_prefix(part.size());
      left_ -= static_cast<std::uint32_t>(part.size());
      if (header_.front() == kEndFrame) {
        payload_ += part;
      } else {
        take(header_.front() == kOutputFrame ? Stream::output : Stream::errors, part);
      }
    }
    if (header_.size() < kFrameHeaderSize || left_ > 0) continue;
    if (header_.front() == kEndFrame) read_end();
    header_.clear();
  }
}

void ExecFrames::begin_frame() {
  left_ = 0;
  for (std::size_t i = 1; i < kFrameHeaderSize; ++i) left_ = left_ << 8 | static_cast<unsigned char>(header_[i]);
  const char kind = header_.front();
  const bool known = kind == kOutputFrame || kind == kErrorsFrame || (kind == kEndFrame && left_ <= kEndFrameLimit);
  if (!known) throw Error(ErrorKind::unavailable, std::format("the runner sent a frame of unknown kind {}", int{kind}));
}

void ExecFrames::read_end() {
  const nlohmann::json answer = dstack::json::parse_object(payload_);
  const dstack::json::ObjectReader reader(answer);
  ProgramEnd end{
      .exit_status = std::nullopt, .signal = reader.string("signal"), .out_of_memory = reader.boolean("oom")};
  if (reader.has("exit_status")) end.exit_status = static_cast<int>(reader.integer("exit_status", 0, 0, 255));
  end_ = std::move(end);
}

}  // namespace dstack::shim::client
