#pragma once

#include <cerrno>
#include <cstring>
#include <optional>
#include <string>
#include <vector>

#include "tests/inject/traced_program.h"

namespace dstack::test {

struct Strike {
  const FaultKind* kind = nullptr;
  unsigned nth = 1;
  bool sticky = false;  // all calls from the nth on, until relief

  std::string describe() const {
    return std::string(kind->name) + (sticky ? " from call " : " at call ") + std::to_string(nth);
  }
};

// How musl, the release binaries' C library, describes an error.
inline const char* musl_text(int error) {
  switch (error) {
    case EIO: return "I/O error";
    case EMFILE: return "No file descriptors available";
    case ENOMEM: return "Out of memory";
    default: return std::strerror(error);
  }
}

// Whether an error's text says why: by the system's own text, or that there is no thread.
inline bool names_cause(const std::string& text, const FaultKind& kind) {
  return text.contains(std::strerror(kind.error)) || text.contains(musl_text(kind.error)) ||
         (kind.error == ENOMEM && text.contains("No memory")) ||  // libarchive
         (kind.error != EMFILE && text.contains("thread"));
}

// With no memory at all a program may abort: where the JSON library ends a document it allocates, in a destructor.
inline bool may_abort(const Strike& strike) { return strike.sticky && strike.kind->error == ENOMEM; }

struct LifeResult {
  TracedProgram::Outcome outcome;
  std::string ending;
  std::vector<std::string> problems;
};

// One program that does what it is for while its system calls fail.
class Subject {
 public:
  virtual ~Subject() = default;
  virtual LifeResult live(const Strike& strike) = 0;
};

}  // namespace dstack::test
