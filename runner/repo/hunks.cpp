#include "runner/repo/hunks.h"

#include <algorithm>
#include <format>
#include <optional>

#include "common/error.h"

namespace dstack::runner::repo {

namespace {

using Lines = std::vector<std::string_view>;

Lines split(std::string_view text) {
  Lines lines;
  lines.reserve(static_cast<std::size_t>(std::ranges::count(text, '\n')) + 1);
  while (!text.empty()) {
    const std::size_t size = std::min(text.find('\n'), text.size() - 1) + 1;
    lines.push_back(text.substr(0, size));
    text.remove_prefix(size);
  }
  return lines;
}

bool matches(const Lines& lines, std::size_t at, const Hunk& hunk) {
  return at <= lines.size() && lines.size() - at >= hunk.old_lines.size() &&
         std::equal(hunk.old_lines.begin(), hunk.old_lines.end(), lines.begin() + static_cast<std::ptrdiff_t>(at));
}

// Where in the lines from `first` on the hunk applies: where it says, or else at the nearest place that looks so.
// `shift` is how far the hunk before it was from where it said.
std::optional<std::size_t> find_place(const Lines& lines, const Hunk& hunk, std::size_t first, std::ptrdiff_t shift) {
  // A hunk without an old line comes behind the line that it names.
  const std::size_t said =
      hunk.old_count == 0 ? hunk.old_start : hunk.old_start - std::min<std::size_t>(hunk.old_start, 1);
  if (said >= first && matches(lines, said, hunk)) return said;
  // Without any context, one place is as good as another: none is looked for.
  if (hunk.leading_context == 0 && hunk.trailing_context == 0) return std::nullopt;

  // With less context on one side than on the other, it was at that end of the file.
  const bool at_begin = hunk.old_start <= 1 && hunk.leading_context < hunk.trailing_context;
  const bool at_end = hunk.trailing_context < hunk.leading_context;
  const auto fits = [&](std::size_t place) {
    return place >= first && (!at_begin || place == 0) && (!at_end || place + hunk.old_lines.size() == lines.size()) &&
           matches(lines, place, hunk);
  };
  const auto start = static_cast<std::size_t>(std::clamp<std::ptrdiff_t>(
      static_cast<std::ptrdiff_t>(std::min(said, lines.size())) + shift, 0, static_cast<std::ptrdiff_t>(lines.size())));
  for (std::size_t distance = 0; distance <= lines.size(); ++distance) {
    if (start >= distance && fits(start - distance)) return start - distance;
    if (start + distance <= lines.size() && fits(start + distance)) return start + distance;
  }
  return std::nullopt;
}

}  // namespace

void apply_hunks(std::string_view old_content, const std::vector<Hunk>& hunks,
                 const std::function<void(std::string_view)>& take) {
  const Lines lines = split(old_content);
  std::size_t next = 0;
  std::ptrdiff_t shift = 0;
  const auto copy_until = [&](std::size_t end) {
    for (; next < end; ++next) take(lines[next]);
  };
  for (std::size_t number = 0; number < hunks.size(); ++number) {
    const Hunk& hunk = hunks[number];
    const auto place = find_place(lines, hunk, next, shift);
    if (!place) {
      throw Error(ErrorKind::conflict,
                  std::format("hunk {} ({}) does not apply", number + 1, printable(hunk.header, 80)));
    }
    shift = static_cast<std::ptrdiff_t>(*place) -
            static_cast<std::ptrdiff_t>(hunk.old_start - std::min<std::size_t>(hunk.old_start, 1));
    copy_until(*place);
    for (const std::string_view line : hunk.new_lines) take(line);
    next = *place + hunk.old_lines.size();
  }
  copy_until(lines.size());
}

}  // namespace dstack::runner::repo
