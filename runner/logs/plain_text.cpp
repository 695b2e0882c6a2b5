#include "runner/logs/plain_text.h"

#include <algorithm>
#include <utility>

#include "common/text/utf8.h"

namespace dstack::runner {

namespace {

using std::chrono::milliseconds;

// Long enough for the next frame of a list of progress bars, and well within the 0.5 s in which a line is to leave.
constexpr milliseconds kLineHold{200};
// Text in front of an end that does not come.
constexpr milliseconds kBeginningHold{3000};
// A place in the raw output is worth an event of its own from this size on; less is copied to the text around it.
constexpr std::size_t kRawWorthwhile = 4096;
// Of a line and of an event, in the raw output, so that what nobody sees does not make them any longer.
constexpr std::size_t kCarriageReturnsLimit = 1024;
constexpr std::size_t kRawLineLimit = std::size_t{64} << 10;
constexpr std::size_t kRawEventLimit = std::size_t{256} << 10;
// A colour is never as long as this: what looks like the beginning of one is something else.
constexpr std::size_t kColourLimit = 256;

}  // namespace

PlainText::PlainText(Reread reread) : reread_(std::move(reread)) {}

std::size_t PlainText::take(std::string_view bytes, std::uint64_t position, os::SteadyTime now) {
  now_ = now;
  std::size_t done = 0;
  while (done < bytes.size()) {
    if (clean_) {
      done += take_clean(bytes.substr(done), position + done, now);
      // It stopped at something that is not clean, which has begun a line of the terminal; else it waits for more.
      if (clean_) break;
      continue;
    }
    done += screen_.take(bytes.substr(done), now);
    // Only at a line's end, so that it makes no difference where the pieces end.
    if (bytes[done - 1] == '\n' && screen_.idle()) {
      clean_ = true;
      begin_line(position + done);
    }
  }
  return done;
}

// Takes clean lines. Returns with clean_ false at a byte that is not clean; else at the end, or at the beginning of a
// character, colour or line end that may be cut off.
std::size_t PlainText::take_clean(std::string_view bytes, std::uint64_t position, os::SteadyTime now) {
  if (line_seen_.raw == 0) begin_line(position);
  std::size_t done = 0;
  while (true) {
    const std::size_t clean = text::printable_prefix(bytes.substr(done));
    // With its end, the line is to fit into an event.
    const std::size_t fits = text::character_boundary(bytes.substr(done, clean), kEventLimit - 1 - line_seen_.text);
    if (fits > 0 && !line_changed_at_) line_changed_at_ = now;
    line_seen_.raw += fits;
    line_seen_.text += fits;
    done += fits;
    if (fits < clean) {
      if (line_seen_.raw > line_seen_.text) break;
      leave_clean();
      begin_line(position + done);
      continue;
    }
    if (done == bytes.size()) return done;
    std::size_t returns = 0;
    while (done + returns < bytes.size() && bytes[done + returns] == '\r' && returns <= kCarriageReturnsLimit)
      ++returns;
    if (done + returns == bytes.size()) return done;
    if (bytes[done + returns] == '\n') {
      done += returns + 1;
      const Amount left = line_left_;
      hold_raw(line_ + left.raw, line_seen_.raw - left.raw + returns + 1, line_seen_.text - left.text + 1);
      line_changed_at_.reset();
      line_open_ = false;
      begin_line(position + done);
      continue;
    }
    if (returns > 0) break;
    const std::string_view rest = bytes.substr(done);
    if (static_cast<unsigned char>(rest.front()) >= 0x80) {
      if (text::first_character(rest).kind == text::Utf8Character::Kind::incomplete) return done;
      break;
    }
    const Attribute colour = attribute_at(rest);
    if (colour.kind == Attribute::Kind::incomplete && rest.size() < kColourLimit) return done;
    if (colour.kind != Attribute::Kind::complete || line_seen_.raw + colour.size > kRawLineLimit) break;
    line_seen_.raw += colour.size;
    done += colour.size;
  }
  to_screen();
  return done;
}

void PlainText::begin_line(std::uint64_t position) {
  line_ = position;
  line_seen_ = line_left_ = {};
}

std::string PlainText::rest_of_line() const {
  if (line_seen_.raw == line_left_.raw) return "";
  std::string text = reread_(line_ + line_left_.raw, line_seen_.raw - line_left_.raw);
  drop_unseen(text);
  return text;
}

// What was seen of the clean line leaves without an end.
void PlainText::leave_clean() {
  if (line_seen_.text > line_left_.text) {
    hold_raw(line_ + line_left_.raw, line_seen_.raw - line_left_.raw, line_seen_.text - line_left_.text);
    line_open_ = true;
  }
  line_left_ = line_seen_;
  line_changed_at_.reset();
}

void PlainText::to_screen() {
  clean_ = false;
  const std::size_t left = line_left_.text;
  line_left_ = {};
  const std::string text = rest_of_line();
  screen_.begin({.text = text,
                 .left = std::min(left, text.size()),
                 .open = line_open_,
                 .changed_at = line_changed_at_.value_or(now_)});
  line_open_ = false;
  line_changed_at_.reset();
}

std::optional<os::SteadyTime> PlainText::deadline() const {
  std::optional<os::SteadyTime> nearest = screen_.deadline();
  const auto consider = [&nearest](const std::optional<os::SteadyTime>& since, milliseconds hold) {
    if (since && (!nearest || *since + hold < *nearest)) nearest = *since + hold;
  };
  consider(held_since_, kLineHold);
  consider(line_changed_at_, kBeginningHold);
  return nearest;
}

void PlainText::flush_due(os::SteadyTime now) {
  now_ = now;
  if (line_changed_at_ && *line_changed_at_ + kBeginningHold <= now) {
    leave_clean();
    let_all_go();
  }
  if (const auto due = screen_.deadline(); due && *due <= now) {
    screen_.flush();
    let_all_go();
  }
  if (held_since_ && *held_since_ + kLineHold <= now) let_all_go();
}

void PlainText::finish() {
  screen_.finish();
  if (clean_ && (line_seen_.text > line_left_.text || line_open_)) leave(rest_of_line() + "\n");
  let_all_go();
  begin_line(0);
  line_open_ = false;
  line_changed_at_.reset();
}

void PlainText::hold_raw(std::uint64_t position, std::size_t size, std::size_t text_size) {
  make_room(text_size);
  held_size_ += text_size;
  if (!held_since_) held_since_ = now_;
  if (!held_.empty()) {
    Piece& last = held_.back();
    auto& raw = last.raw;
    if (raw && raw->position + raw->size == position && raw->size + size <= kRawEventLimit) {
      raw->size += static_cast<std::uint32_t>(size);
      last.text_size += static_cast<std::uint32_t>(text_size);
      return;
    }
  }
  held_.push_back({.raw = Piece::Raw{.position = position, .size = static_cast<std::uint32_t>(size)},
                   .text_size = static_cast<std::uint32_t>(text_size)});
}

// From the terminal.
void PlainText::leave(std::string_view text) {
  while (text.size() > kEventLimit) {
    const std::size_t cut = text::character_boundary(text, kEventLimit);
    leave(text.substr(0, cut));
    text.remove_prefix(cut);
  }
  make_room(text.size());
  held_size_ += text.size();
  if (!held_since_) held_since_ = now_;
  if (!held_.empty() && held_.back().raw && held_.back().text_size < kRawWorthwhile) {
    std::string copy = text_of(held_.back());
    held_.pop_back();
    if (!held_.empty() && !held_.back().raw) {
      held_.back().text += copy;
    } else {
      held_.push_back({.text = std::move(copy)});
    }
  }
  if (held_.empty() || held_.back().raw) held_.emplace_back();
  Piece& last = held_.back();
  last.text += text;
  last.text_size = static_cast<std::uint32_t>(last.text.size());
}

std::optional<std::string> PlainText::take_back() {
  if (held_.empty()) return std::nullopt;
  Piece& last = held_.back();
  if (last.raw) {
    // Once; from here on it is text.
    last.text = text_of(last);
    last.raw.reset();
  }
  if (!last.text.ends_with('\n')) return std::nullopt;
  last.text.pop_back();
  const std::size_t end = last.text.rfind('\n');
  const std::size_t begin = end == std::string::npos ? 0 : end + 1;
  // The beginning of the line may have left earlier, alone.
  std::string line = last.text.substr(begin);
  last.text.resize(begin);
  last.text_size = static_cast<std::uint32_t>(begin);
  held_size_ -= line.size() + 1;
  if (last.text.empty()) held_.pop_back();
  if (held_.empty()) held_since_.reset();
  return line;
}

void PlainText::make_room(std::size_t size) {
  if (held_size_ + size > kEventLimit) let_all_go();
}

void PlainText::let_all_go() {
  std::ranges::move(held_, std::back_inserter(ready_));
  held_.clear();
  held_size_ = 0;
  held_since_.reset();
}

std::string PlainText::text_of(const Piece& piece) const {
  if (!piece.raw) return piece.text;
  std::string text = reread_(piece.raw->position, piece.raw->size);
  drop_unseen(text);
  return text;
}

}  // namespace dstack::runner
