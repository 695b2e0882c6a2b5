#pragma once

#include <algorithm>
#include <string>
#include <string_view>
#include <vector>

#include "runner/logs/plain_text.h"

namespace dstack::test {

// Plain text of output that a test gives piece by piece, as events. Time stands still unless the test moves it.
class LogText {
 public:
  LogText()
      : text_([this](std::uint64_t position, std::size_t size) {
          return raw_.substr(static_cast<std::size_t>(position), size);
        }) {}

  void give(std::string_view output) {
    raw_ += output;
    taken_ += text_.take(std::string_view(raw_).substr(taken_), taken_, now);
    collect();
  }

  void pass(std::chrono::milliseconds time) {
    now += time;
    text_.flush_due(now);
    collect();
  }

  void finish() {
    text_.finish();
    collect();
  }

  // All events so far, one after the other.
  std::string all() const {
    std::string joined;
    for (const std::string& event : events) joined += event;
    return joined;
  }

  std::optional<std::chrono::milliseconds> deadline() const {
    if (!text_.deadline()) return std::nullopt;
    return std::chrono::duration_cast<std::chrono::milliseconds>(*text_.deadline() - now);
  }

  os::SteadyTime now{std::chrono::hours(1)};
  std::vector<std::string> events;
  std::size_t copied = 0;       // bytes of text that is not a place in the raw output
  std::size_t largest_raw = 0;  // bytes of raw output that one event stands for

 private:
  void collect() {
    for (const runner::Piece& piece : text_.ready()) {
      std::string text = piece.text;
      if (piece.raw) {
        text = raw_.substr(static_cast<std::size_t>(piece.raw->position), piece.raw->size);
        runner::drop_unseen(text);
        largest_raw = std::max<std::size_t>(largest_raw, piece.raw->size);
      } else {
        copied += text.size();
      }
      // What the index says is what there is.
      if (text.size() != piece.text_size) text = "size of the event is wrong";
      events.push_back(std::move(text));
    }
    text_.ready().clear();
  }

  std::string raw_;
  std::size_t taken_ = 0;
  runner::PlainText text_;
};

// The plain text of a whole job that printed `output` in pieces of that size.
inline std::string plain_text(std::string_view output, std::size_t piece = 65536) {
  LogText text;
  for (std::size_t i = 0; i < output.size(); i += piece) text.give(output.substr(i, piece));
  text.finish();
  return text.all();
}

}  // namespace dstack::test
