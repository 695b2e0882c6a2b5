#pragma once

#include <cerrno>
#include <exception>
#include <stdexcept>
#include <string>
#include <string_view>

namespace dstack {

// What went wrong in terms a caller can act on. common/http/server.cpp maps each kind to one HTTP status.
enum class ErrorKind {
  invalid,    // the request or the configuration is at fault
  forbidden,  // the caller may not
  denied,     // the system does not let this process
  not_found,
  conflict,
  too_large,
  unsupported_media,
  cancelled,  // a stop token ended the work
  timed_out,
  unavailable,  // the other side (an engine, an exporter) does not answer or answers nonsense
  exhausted,    // no thread or process can be made now; it may be tried again
  internal,
};

// A failure that ends a step. The message says what was tried, on what, and the reason.
class Error : public std::runtime_error {
 public:
  Error(ErrorKind kind, const std::string& message) : std::runtime_error(message), kind_(kind) {}

  ErrorKind kind() const noexcept { return kind_; }

 private:
  ErrorKind kind_;
};

// What kind of failure that is; internal for an exception that is not an Error, such as bad_alloc or a library's own.
ErrorKind error_kind(const std::exception& error);

// "open /a/b: Permission denied". `code` is an errno value.
Error os_error(std::string_view action, std::string_view subject, int code = errno);

// The same text without an exception, for logs and messages that are put together.
std::string describe_errno(int code);

// `text` with control characters, quotes and bytes that are not UTF-8 escaped, in double quotes and cut at
// `limit` bytes: everything foreign goes through this on its way into a message or a log.
std::string printable(std::string_view text, std::size_t limit = 200);

}  // namespace dstack
