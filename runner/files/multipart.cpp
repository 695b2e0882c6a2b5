#include "runner/files/multipart.h"

#include <algorithm>
#include <format>
#include <utility>

#include "common/error.h"
#include "common/text/letter_case.h"
#include "common/text/trim.h"

namespace dstack::files {

namespace {

constexpr std::size_t kHeaderLimit = 16384;
constexpr std::size_t kLongestBoundary = 70;  // RFC 2046

Error invalid(const std::string& message) { return {ErrorKind::invalid, message}; }

// The value of the parameter `name` in "value; name=token; other="a \"quoted\" string"".
std::optional<std::string> parameter(std::string_view header, std::string_view name) {
  std::size_t at = header.find(';');
  while (at != std::string_view::npos) {
    const std::size_t equals = header.find('=', at);
    if (equals == std::string_view::npos) return std::nullopt;
    const bool found = text::lower_case(text::trim(header.substr(at + 1, equals - at - 1))) == name;
    std::string value;
    std::size_t end = equals + 1;
    while (end < header.size() && (header[end] == ' ' || header[end] == '\t')) ++end;
    if (end < header.size() && header[end] == '"') {
      for (++end; end < header.size() && header[end] != '"'; ++end) {
        if (header[end] == '\\' && end + 1 < header.size()) ++end;
        value += header[end];
      }
      at = header.find(';', std::min(end, header.size()));
    } else {
      at = header.find(';', end);
      value = text::trim(header.substr(end, at == std::string_view::npos ? at : at - end));
    }
    if (found) return value;
  }
  return std::nullopt;
}

FormParser::Part parse_headers(std::string_view text) {
  while (!text.empty()) {
    const std::size_t end = std::min(text.find("\r\n"), text.size());
    const std::string_view line = text.substr(0, end);
    text.remove_prefix(std::min(end + 2, text.size()));
    const std::size_t colon = line.find(':');
    if (colon == std::string_view::npos || text::lower_case(text::trim(line.substr(0, colon))) != "content-disposition")
      continue;
    const std::string_view value = line.substr(colon + 1);
    return {.field = parameter(value, "name").value_or(""), .file_name = parameter(value, "filename").value_or("")};
  }
  return {};
}

}  // namespace

std::string multipart_boundary(const std::optional<std::string>& content_type) {
  if (!content_type || content_type->empty()) throw invalid("missing content-type header");
  const std::string media =
      text::lower_case(text::trim(std::string_view(*content_type).substr(0, content_type->find(';'))));
  if (media != "multipart/form-data") {
    throw invalid(std::format("multipart/form-data expected, got {}", printable(media)));
  }
  std::string boundary = parameter(*content_type, "boundary").value_or("");
  if (boundary.empty()) throw invalid("missing boundary");
  if (boundary.size() > kLongestBoundary) throw invalid("the boundary is too long");
  return boundary;
}

FormParser::FormParser(std::string_view boundary, std::function<void(const Part&)> begin,
                       std::function<void(std::string_view)> data)
    : delimiter_("\r\n--" + std::string(boundary)),
      begin_(std::move(begin)),
      data_(std::move(data)),
      unread_("\r\n") {}  // the first delimiter may be the body's first bytes

void FormParser::feed(std::string_view piece) {
  if (state_ == State::epilogue) return;
  if (state_ == State::content && unread_.empty()) piece.remove_prefix(hand_on(piece));
  unread_ += piece;
  while (step()) {
  }
}

bool FormParser::step() {
  switch (state_) {
    case State::preamble: return skip_preamble();
    case State::after_boundary: return read_after_boundary();
    case State::headers: return read_headers();
    case State::content: return read_content();
    case State::epilogue: unread_.clear(); return false;
  }
  return false;
}

bool FormParser::skip_preamble() {
  const std::size_t found = unread_.find(delimiter_);
  if (found == std::string::npos) {
    unread_.erase(0, unread_.size() - std::min(unread_.size(), delimiter_.size() - 1));
    return false;
  }
  unread_.erase(0, found + delimiter_.size());
  state_ = State::after_boundary;
  return true;
}

bool FormParser::read_after_boundary() {
  // Blanks may stand behind a boundary.
  const std::size_t end = unread_.find_first_not_of(" \t");
  if (end == std::string::npos || unread_.size() < end + 2) {
    if (unread_.size() > kHeaderLimit) throw invalid("the form is malformed after a boundary");
    return false;
  }
  const std::string_view mark = std::string_view(unread_).substr(end, 2);
  if (mark == "--") {
    state_ = State::epilogue;
    return true;
  }
  if (mark != "\r\n") throw invalid("the form is malformed after a boundary");
  if (seen_part_) throw invalid("extra form field(s)");
  // The line end stays: with no header at all it is the first half of the empty line.
  unread_.erase(0, end);
  state_ = State::headers;
  return true;
}

bool FormParser::read_headers() {
  const std::size_t end = unread_.find("\r\n\r\n");
  if (end > kHeaderLimit && (end != std::string::npos || unread_.size() > kHeaderLimit)) {
    throw invalid("the form's headers are too long");
  }
  if (end == std::string::npos) return false;
  const Part part = parse_headers(std::string_view(unread_).substr(0, end));
  unread_.erase(0, end + 4);
  seen_part_ = true;
  begin_(part);
  state_ = State::content;
  return true;
}

bool FormParser::read_content() {
  unread_.erase(0, hand_on(unread_));
  if (!unread_.starts_with(delimiter_)) return false;
  unread_.erase(0, delimiter_.size());
  state_ = State::after_boundary;
  return true;
}

// Hands on what of the beginning of `bytes` is content whatever follows; returns how much.
std::size_t FormParser::hand_on(std::string_view bytes) const {
  std::size_t size = bytes.find(delimiter_);
  if (size == std::string_view::npos) {
    // What may be the delimiter's beginning waits.
    size = bytes.size() - std::min(bytes.size(), delimiter_.size() - 1);
    while (!std::string_view(delimiter_).starts_with(bytes.substr(size))) ++size;
  }
  if (size > 0) data_(bytes.substr(0, size));
  return size;
}

void FormParser::finish() const {
  if (state_ == State::epilogue) {
    if (!seen_part_) throw invalid("empty form");
    return;
  }
  if (state_ == State::preamble) throw invalid("empty form");
  throw invalid("the form ends before its last boundary");
}

}  // namespace dstack::files
