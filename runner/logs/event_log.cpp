#include "runner/logs/event_log.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <vector>

#include "common/error.h"
#include "common/os/file.h"
#include "runner/logs/escape_parser.h"

namespace dstack::runner {

namespace {

bool write_at(int file, const void* data, std::size_t size, std::uint64_t position) {
  const char* next = static_cast<const char*>(data);
  while (size > 0) {
    const ssize_t written = ::pwrite(file, next, size, static_cast<off_t>(position));
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) {
      if (written == 0) errno = ENOSPC;
      return false;
    }
    next += written;
    position += static_cast<std::uint64_t>(written);
    size -= static_cast<std::size_t>(written);
  }
  return true;
}

void read_at(int file, void* into, std::size_t size, std::uint64_t position) {
  char* next = static_cast<char*>(into);
  while (size > 0) {
    const ssize_t count = ::pread(file, next, size, static_cast<off_t>(position));
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) throw os_error("read", "the event log");
    if (count == 0) throw Error(ErrorKind::internal, "read the event log: it was cut short");
    next += count;
    position += static_cast<std::uint64_t>(count);
    size -= static_cast<std::size_t>(count);
  }
}

// Space beyond the end of a file, which stays as long as it is.
void set_space_aside(int file, std::uint64_t from, std::uint64_t bytes) {
#ifdef FALLOC_FL_KEEP_SIZE
  [[maybe_unused]] const int result =
      ::fallocate(file, FALLOC_FL_KEEP_SIZE, static_cast<off_t>(from), static_cast<off_t>(bytes));
#endif
}

}  // namespace

void drop_unseen(std::string& text) {
  const std::string_view all = text;
  std::size_t kept = 0;
  std::size_t done = 0;
  std::size_t carriage_return = all.find('\r');
  std::size_t escape = all.find('\x1b');
  while (true) {
    const std::size_t next = std::min({carriage_return, escape, all.size()});
    std::memmove(text.data() + kept, text.data() + done, next - done);
    kept += next - done;
    if (next == all.size()) break;
    if (next == carriage_return) {
      done = next + 1;
      carriage_return = all.find('\r', done);
    } else {
      done = next + std::max<std::size_t>(attribute_at(all.substr(next)).size, 1);
      escape = all.find('\x1b', done);
    }
  }
  text.resize(kept);
}

EventLog::EventLog(const std::filesystem::path& folder, const std::string& name, const JobLog* raw)
    : raw_(raw),
      index_(os::open_file(folder / (name + ".index"), O_RDWR | O_CREAT | O_TRUNC, 0600)),
      texts_(os::open_file(folder / (name + ".text"), O_RDWR | O_CREAT | O_TRUNC, 0600)) {}

void EventLog::reserve(std::size_t bytes) noexcept {
  reserve_ = bytes;
  set_space_aside(texts_.get(), 0, bytes);
  set_space_aside(index_.get(), 0, bytes);
  text_reserved_ = index_reserved_ = bytes;
}

bool EventLog::add(std::int64_t time, std::span<const Piece> pieces) noexcept {
  std::uint64_t text_end = text_end_;
  std::uint64_t text_total = text_total_;
  std::uint64_t count = count_;
  for (const Piece& piece : pieces) {
    Event event{.time = time,
                .place = text_end,
                .text_before = text_total,
                .size = piece.text_size,
                .raw = 0,
                .text_size = piece.text_size & 0x7fffffffU};
    if (piece.raw) {
      event.place = piece.raw->position;
      event.size = piece.raw->size;
      event.raw = 1;
    } else {
      if (!write_at(texts_.get(), piece.text.data(), piece.text.size(), text_end)) return false;
      text_end += piece.text.size();
    }
    if (!write_at(index_.get(), &event, sizeof event, count * sizeof event)) return false;
    text_total += piece.text_size;
    ++count;
  }
  text_end_ = text_end;
  text_total_ = text_total;
  count_ = count;
  if (reserve_ > 0) {
    // Half of it used up: set the same again aside.
    if (text_end_ + reserve_ / 2 > text_reserved_) {
      set_space_aside(texts_.get(), text_reserved_, reserve_);
      text_reserved_ += reserve_;
    }
    if (count_ * sizeof(Event) + reserve_ / 2 > index_reserved_) {
      set_space_aside(index_.get(), index_reserved_, reserve_);
      index_reserved_ += reserve_;
    }
  }
  return true;
}

std::uint64_t EventLog::first_after(std::int64_t time, std::uint64_t count) const {
  std::uint64_t first = 0;
  while (first < count) {
    const std::uint64_t middle = first + (count - first) / 2;
    if (event(middle).time <= time) {
      first = middle + 1;
    } else {
      count = middle;
    }
  }
  return first;
}

EventLog::Event EventLog::event(std::uint64_t number) const {
  Event event{};
  read_at(index_.get(), &event, sizeof event, number * sizeof event);
  return event;
}

std::uint64_t EventLog::text_before(std::uint64_t number) const {
  if (number == 0) return 0;
  const Event last = event(number - 1);
  return last.text_before + last.text_size;
}

void EventLog::events(std::uint64_t number, std::span<Event> into) const {
  read_at(index_.get(), into.data(), into.size_bytes(), number * sizeof(Event));
}

void EventLog::text(const Event& event, std::string& into) const {
  into.resize(event.size);
  if (event.raw == 0) {
    read_at(texts_.get(), into.data(), into.size(), event.place);
    return;
  }
  into.resize(raw_->read(event.place, into));
  drop_unseen(into);
}

}  // namespace dstack::runner
