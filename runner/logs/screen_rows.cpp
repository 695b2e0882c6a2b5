#include "runner/logs/screen_rows.h"

#include <algorithm>
#include <utility>

#include "runner/logs/event_log.h"

namespace dstack::runner {

namespace {

using std::chrono::milliseconds;

constexpr milliseconds kQuietLimit{500};
constexpr milliseconds kHoldLimit{3000};
constexpr std::size_t kRowsLimit = 200;

}  // namespace

bool ScreenRows::blank() const {
  const Row& first = rows_.front();
  return rows_.size() == 1 && first.line.empty() && first.left.empty() && !first.left_ended && !first.open;
}

void ScreenRows::begin(const Beginning& beginning) {
  Row& row = rows_.front();
  row.line.append(beginning.text);
  row.left = beginning.text.substr(0, beginning.left);
  row.open = open_ = beginning.open;
  row.changed = beginning.text.size() > beginning.left;
  if (row.changed) changed_at_ = beginning.changed_at;
}

void ScreenRows::changed(std::size_t row, os::SteadyTime now) {
  rows_[row].changed = true;
  if (!changed_at_) changed_at_ = now;
}

void ScreenRows::moved_over(std::size_t row, os::SteadyTime now) {
  rows_[row].moved_over = true;
  moved_at_ = now;
  changed(row, now);
}

void ScreenRows::moved_between(os::SteadyTime now) {
  moved_at_ = now;
  if (!changed_at_) changed_at_ = now;
}

void ScreenRows::add_above() {
  Row above;
  if (const auto text = owner_.take_back()) {
    above.line.append(*text);
    above.changed = true;
  } else {
    // It has left. It leaves again only if something is written there.
    above.left_ended = true;
  }
  rows_.push_front(std::move(above));
}

std::size_t ScreenRows::add_below() {
  if (rows_.size() > 1) {
    rows_.emplace_back();
    const std::size_t row = rows_.size() - 1;
    return rows_.size() > kRowsLimit || held() > kEventLimit ? flush(row) : row;
  }
  Row& only = rows_.front();
  if (only.line.only_appended() && only.left.empty() && !only.left_ended && !open_) {
    // By far the most lines.
    only.line.append("\n");
    owner_.leave(only.line.appended());
    only.line.clear();
    only.changed = only.moved_over = false;
  } else {
    let_go(only, true);
    only = Row{};
  }
  changed_at_.reset();
  return 0;
}

void ScreenRows::overflow(std::size_t row) {
  if (rows_.size() > 1) keep_only(flush(row));
  Row& only = rows_.front();
  only.moved_over = false;
  let_go(only, false);
  const bool open = only.open;
  only = Row{};
  only.open = open;
  changed_at_.reset();
}

std::optional<os::SteadyTime> ScreenRows::deadline() const {
  if (!changed_at_) return std::nullopt;
  const os::SteadyTime latest = *changed_at_ + kHoldLimit;
  if (rows_.size() == 1 && !rows_.front().moved_over) return latest;
  return std::min(latest, moved_at_ + kQuietLimit);
}

std::size_t ScreenRows::flush(std::size_t row) {
  for (Row& each : rows_) {
    const bool last = &each == &rows_.back();
    if (last && each.line.empty()) continue;
    const bool complete = !last || each.moved_over || each.left_ended;
    if (each.changed || (!last && !each.left_ended)) let_go(each, complete);
  }
  changed_at_.reset();
  if (row + 1 < rows_.size()) return row;
  keep_only(row);
  return 0;
}

void ScreenRows::finish() {
  flush(rows_.size() - 1);
  Row& last = rows_.front();
  if (last.open || (!last.line.empty() && !last.left_ended)) let_go(last, true);
  last = Row{};
}

// Lets what has not left of a row leave, with a line's end where `end` says so.
void ScreenRows::let_go(Row& row, bool end) {
  std::string text = row.line.text();
  const bool goes_on = row.open && text.starts_with(row.left);
  // Blanks at the end are mostly there to wipe out something longer; nobody sees them.
  if (const std::size_t seen = text.find_last_not_of(' ') + 1;
      row.moved_over && (!goes_on || seen >= row.left.size())) {
    text.resize(seen);
  }
  row.changed = false;
  std::string piece;
  if (goes_on || (row.open && text.empty())) {
    piece = text.substr(std::min(text.size(), row.left.size()));
  } else if (row.left_ended && text == row.left) {
    return;
  } else {
    if (open_) {
      // The line that went without an end gets one.
      piece = "\n";
      for (Row& each : rows_) {
        each.left_ended = each.left_ended || each.open;
        each.open = false;
      }
    }
    piece += text;
  }
  if (end) piece += '\n';
  row.left = std::move(text);
  row.left_ended = end;
  if (piece.empty()) return;
  open_ = row.open = !end;
  owner_.leave(piece);
}

void ScreenRows::keep_only(std::size_t row) {
  Row kept = std::move(rows_[row]);
  rows_.clear();
  rows_.push_back(std::move(kept));
}

std::size_t ScreenRows::held() const {
  std::size_t size = 0;
  for (const Row& each : rows_) size += each.line.size();
  return size;
}

}  // namespace dstack::runner
