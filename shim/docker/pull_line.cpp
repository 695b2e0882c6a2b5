#include "shim/docker/pull_line.h"

#include <nlohmann/json.hpp>
#include <utility>

namespace dstack::shim::docker {

namespace {

using nlohmann::json;

// Hears of each value of a line from the JSON library, and takes those that PullLine has.
class Reader {
 public:
  bool start_object(std::size_t) {
    if (ignored_ == 0 && place_ == Place::outside) {
      place_ = Place::line;
    } else if (ignored_ == 0 && place_ == Place::line && key_ == "errorDetail") {
      place_ = Place::error_detail;
    } else if (ignored_ == 0 && place_ == Place::line && key_ == "progressDetail") {
      place_ = Place::progress_detail;
    } else {
      ++ignored_;
    }
    return true;
  }
  bool end_object() { return leave(); }
  bool start_array(std::size_t) {
    ++ignored_;
    return true;
  }
  bool end_array() { return leave(); }
  bool key(std::string& name) {
    if (ignored_ == 0) key_ = name;
    return true;
  }
  bool string(std::string& value) {
    if (std::string* const member = text_member()) *member = std::move(value);
    return true;
  }
  bool number_unsigned(std::uint64_t value) {
    if (std::uint64_t* const member = number_member()) *member = value;
    return true;
  }
  bool number_integer(std::int64_t) { return true; }
  bool number_float(double, const std::string&) { return true; }
  bool boolean(bool) { return true; }
  bool null() { return true; }
  bool binary(json::binary_t&) { return true; }
  bool parse_error(std::size_t, const std::string&, const json::exception&) { return false; }

  // Of a line that was read to its end.
  std::optional<PullLine> result() && {
    if (!is_object_) return std::nullopt;
    if (!error_detail_.empty()) line_.error = std::move(error_detail_);
    return std::move(line_);
  }

 private:
  enum class Place { outside, line, error_detail, progress_detail };

  bool leave() {
    if (ignored_ > 0) {
      --ignored_;
    } else if (place_ == Place::line) {
      place_ = Place::outside;
      is_object_ = true;
    } else {
      place_ = Place::line;
    }
    return true;
  }

  std::string* text_member() {
    if (ignored_ > 0) return nullptr;
    if (place_ == Place::line && key_ == "status") return &line_.status;
    if (place_ == Place::line && key_ == "id") return &line_.id;
    if (place_ == Place::line && key_ == "error") return &line_.error;
    if (place_ == Place::error_detail && key_ == "message") return &error_detail_;
    if (place_ == Place::progress_detail && key_ == "units") return &line_.units;
    return nullptr;
  }

  std::uint64_t* number_member() {
    if (ignored_ > 0 || place_ != Place::progress_detail) return nullptr;
    if (key_ == "current") return &line_.current;
    if (key_ == "total") return &line_.total;
    return nullptr;
  }

  PullLine line_;
  std::string error_detail_;  // older engines also send it as the plain "error"
  std::string key_;
  Place place_ = Place::outside;
  int ignored_ = 0;  // how deep it is in a value that PullLine does not have
  bool is_object_ = false;
};

}  // namespace

std::optional<PullLine> parse_pull_line(std::string_view line) {
  Reader reader;
  if (!json::sax_parse(line, &reader)) return std::nullopt;
  return std::move(reader).result();
}

}  // namespace dstack::shim::docker
