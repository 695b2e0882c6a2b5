#include "common/json/object_reader.h"

#include <cmath>
#include <format>

#include "common/error.h"

namespace dstack::json {

namespace {

using nlohmann::json;

Error wrong_type(const std::string& path, std::string_view expected, const json& value) {
  return {ErrorKind::invalid, std::format("{}: expected {}, got {}", path, expected, value.type_name())};
}

std::string as_string(const json& value, const std::string& path) {
  if (!value.is_string()) throw wrong_type(path, "a string", value);
  return value.get<std::string>();
}

std::int64_t as_integer(const json& value, const std::string& path) {
  if (value.is_number_unsigned()) {
    const auto number = value.get<std::uint64_t>();
    if (number > static_cast<std::uint64_t>(INT64_MAX)) {
      throw Error(ErrorKind::invalid, std::format("{}: {} is out of range", path, number));
    }
    return static_cast<std::int64_t>(number);
  }
  if (value.is_number_integer()) return value.get<std::int64_t>();
  if (value.is_number_float()) {
    // 10.0 is a whole number too; 2^63 and beyond is not one of ours.
    const double number = value.get<double>();
    if (std::nearbyint(number) == number && std::abs(number) < 9.2e18) return static_cast<std::int64_t>(number);
    throw Error(ErrorKind::invalid, std::format("{}: expected a whole number, got {}", path, number));
  }
  throw wrong_type(path, "a number", value);
}

}  // namespace

json parse_object(std::string_view text) {
  json value;
  try {
    value = json::parse(text);
  } catch (const json::parse_error& error) {
    throw Error(ErrorKind::invalid,
                std::format("malformed JSON at byte {}: {}", error.byte,
                            text.empty() ? "the body is empty" : "the body is not one JSON object"));
  } catch (const json::exception&) {
    throw Error(ErrorKind::invalid, "a number in the JSON is out of range");
  }
  if (!value.is_object())
    throw Error(ErrorKind::invalid, std::format("expected a JSON object, got {}", value.type_name()));
  return value;
}

ObjectReader::ObjectReader(const json& object, std::string path) : object_(object), path_(std::move(path)) {
  if (!object.is_object()) throw wrong_type(path_.empty() ? "body" : path_, "an object", object);
}

const json* ObjectReader::find(std::string_view name) const {
  const auto found = object_.find(name);
  return found == object_.end() || found->is_null() ? nullptr : &*found;
}

std::string ObjectReader::path_of(std::string_view name) const {
  return path_.empty() ? std::string(name) : std::format("{}.{}", path_, name);
}

bool ObjectReader::has(std::string_view name) const { return find(name) != nullptr; }

std::string ObjectReader::string(std::string_view name, std::string_view fallback) const {
  return optional_string(name).value_or(std::string(fallback));
}

std::optional<std::string> ObjectReader::optional_string(std::string_view name) const {
  const json* value = find(name);
  if (value == nullptr) return std::nullopt;
  return as_string(*value, path_of(name));
}

bool ObjectReader::boolean(std::string_view name, bool fallback) const {
  const json* value = find(name);
  if (value == nullptr) return fallback;
  if (!value->is_boolean()) throw wrong_type(path_of(name), "a boolean", *value);
  return value->get<bool>();
}

std::int64_t ObjectReader::integer(std::string_view name, std::int64_t fallback, std::int64_t minimum,
                                   std::int64_t maximum) const {
  const std::int64_t value = optional_integer(name).value_or(fallback);
  if (value < minimum || value > maximum) {
    throw Error(ErrorKind::invalid, std::format("{}: {} is out of range", path_of(name), value));
  }
  return value;
}

std::optional<std::int64_t> ObjectReader::optional_integer(std::string_view name) const {
  const json* value = find(name);
  if (value == nullptr) return std::nullopt;
  return as_integer(*value, path_of(name));
}

double ObjectReader::number(std::string_view name, double fallback) const {
  const json* value = find(name);
  if (value == nullptr) return fallback;
  if (!value->is_number()) throw wrong_type(path_of(name), "a number", *value);
  return value->get<double>();
}

std::vector<std::string> ObjectReader::strings(std::string_view name) const {
  std::vector<std::string> result;
  const json* value = find(name);
  if (value == nullptr) return result;
  if (!value->is_array()) throw wrong_type(path_of(name), "a list", *value);
  for (std::size_t i = 0; i < value->size(); ++i) {
    result.push_back(as_string((*value)[i], std::format("{}[{}]", path_of(name), i)));
  }
  return result;
}

std::vector<std::int64_t> ObjectReader::integers(std::string_view name) const {
  std::vector<std::int64_t> result;
  const json* value = find(name);
  if (value == nullptr) return result;
  if (!value->is_array()) throw wrong_type(path_of(name), "a list", *value);
  for (std::size_t i = 0; i < value->size(); ++i) {
    result.push_back(as_integer((*value)[i], std::format("{}[{}]", path_of(name), i)));
  }
  return result;
}

std::map<std::string, std::string> ObjectReader::string_map(std::string_view name) const {
  std::map<std::string, std::string> result;
  const json* value = find(name);
  if (value == nullptr) return result;
  if (!value->is_object()) throw wrong_type(path_of(name), "an object", *value);
  for (const auto& [key, item] : value->items())
    result[key] = as_string(item, std::format("{}.{}", path_of(name), key));
  return result;
}

bool ObjectReader::object(std::string_view name, const std::function<void(const ObjectReader&)>& read) const {
  const json* value = find(name);
  if (value == nullptr) return false;
  read(ObjectReader(*value, path_of(name)));
  return true;
}

void ObjectReader::objects(std::string_view name, const std::function<void(const ObjectReader&)>& read) const {
  const json* value = find(name);
  if (value == nullptr) return;
  if (!value->is_array()) throw wrong_type(path_of(name), "a list", *value);
  for (std::size_t i = 0; i < value->size(); ++i) {
    read(ObjectReader((*value)[i], std::format("{}[{}]", path_of(name), i)));
  }
}

}  // namespace dstack::json
