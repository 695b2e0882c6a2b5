#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace dstack::json {

// Parses a request's body: one JSON object and nothing behind it. Throws Error (invalid) otherwise.
nlohmann::json parse_object(std::string_view text);

// Reads the fields of a JSON object into typed values. An absent field and a null both give the default; unknown
// fields are ignored; a wrong type throws Error (invalid) that names the field by its path
// ("job_spec.user.uid: expected a number, got a string").
//
// It refers to `object`, which must outlive it.
class ObjectReader {
 public:
  explicit ObjectReader(const nlohmann::json& object, std::string path = "");

  bool has(std::string_view name) const;  // present and not null

  std::string string(std::string_view name, std::string_view fallback = "") const;
  std::optional<std::string> optional_string(std::string_view name) const;
  bool boolean(std::string_view name, bool fallback = false) const;
  // Outside minimum … maximum, or not a whole number: Error.
  std::int64_t integer(std::string_view name, std::int64_t fallback = 0, std::int64_t minimum = INT64_MIN,
                       std::int64_t maximum = INT64_MAX) const;
  std::optional<std::int64_t> optional_integer(std::string_view name) const;
  double number(std::string_view name, double fallback = 0) const;
  std::vector<std::string> strings(std::string_view name) const;
  std::vector<std::int64_t> integers(std::string_view name) const;
  std::map<std::string, std::string> string_map(std::string_view name) const;

  // Calls `read` with a reader for the object in the field; not for an absent one. Returns whether it was there.
  bool object(std::string_view name, const std::function<void(const ObjectReader&)>& read) const;
  // The same for each object of a list.
  void objects(std::string_view name, const std::function<void(const ObjectReader&)>& read) const;

  // "path.name", for messages about a value that has the right type and is still wrong.
  std::string path_of(std::string_view name) const;

 private:
  const nlohmann::json* find(std::string_view name) const;

  const nlohmann::json& object_;
  std::string path_;
};

}  // namespace dstack::json
