#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

namespace dstack::files {

// The boundary out of a Content-Type. Throws Error (invalid) if it is none of a multipart/form-data with a boundary.
std::string multipart_boundary(const std::optional<std::string>& content_type);

// Takes a form (RFC 7578) of exactly one part, a file, out of pieces as they arrive: memory is constant whatever the
// form's size, but for the part's headers, which have a limit. Throws Error (invalid) for anything else.
class FormParser {
 public:
  struct Part {
    std::string field;
    std::string file_name;
  };
  // `begin` is called with the part's names before its first byte, `data` for each stretch of its content.
  FormParser(std::string_view boundary, std::function<void(const Part&)> begin,
             std::function<void(std::string_view)> data);

  void feed(std::string_view piece);
  // The body has ended: throws unless the form was whole.
  void finish() const;

 private:
  enum class State { preamble, after_boundary, headers, content, epilogue };

  // Each takes what it can from the start of unread_; false when it needs more.
  bool step();
  bool skip_preamble();
  bool read_after_boundary();
  bool read_headers();
  bool read_content();
  std::size_t hand_on(std::string_view bytes) const;

  const std::string delimiter_;  // CRLF, two dashes, the boundary
  const std::function<void(const Part&)> begin_;
  const std::function<void(std::string_view)> data_;
  State state_ = State::preamble;
  bool seen_part_ = false;
  std::string unread_;
};

}  // namespace dstack::files
