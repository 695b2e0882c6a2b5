#pragma once

#include <string>
#include <utility>

namespace dstack {

// A password, token or key. It has no formatter and no stream operator, so it cannot reach a log by accident;
// whoever needs the text asks for it by name.
class Secret {
 public:
  Secret() = default;
  explicit Secret(std::string text) : text_(std::move(text)) {}

  const std::string& reveal() const noexcept { return text_; }
  bool empty() const noexcept { return text_.empty(); }

  friend bool operator==(const Secret&, const Secret&) = default;

 private:
  std::string text_;
};

}  // namespace dstack
