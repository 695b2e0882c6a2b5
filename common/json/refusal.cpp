#include "common/json/refusal.h"

#include <format>

#include "common/error.h"

namespace dstack::json {

void refuse(std::string_view field, std::string_view problem) {
  throw Error(ErrorKind::invalid, std::format("{}: {}", field, problem));
}

void refuse_nul(std::string_view field, std::string_view text) {
  if (text.contains('\0')) refuse(field, "contains a NUL byte");
}

}  // namespace dstack::json
