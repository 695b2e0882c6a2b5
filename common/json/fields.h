#pragma once

#include <concepts>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "common/json/object_reader.h"

// A record names its fields once, in a function beside it that calls `field` with the name and the member of each:
//
//   template <json::RecordOf<Mount> Record>
//   void visit_fields(Record& mount, auto&& field) {
//     field("name", mount.name);
//     field("size", mount.size, json::Range{.minimum = 0});
//   }
//
// It is found by the record's type, and serves reading, writing, and a test of the names. Members are strings,
// booleans, numbers, optional strings, records, and lists of strings and of records; of another type where read_field()
// and write_field() are declared beside it.
namespace dstack::json {

// A record that is read into or written from.
template <typename Record, typename Type>
concept RecordOf = std::same_as<std::remove_const_t<Record>, Type>;

struct Range {
  std::int64_t minimum = INT64_MIN;
  std::int64_t maximum = INT64_MAX;
};

namespace detail {

class FieldReader {
 public:
  explicit FieldReader(const ObjectReader& reader) : reader_(reader) {}

  void operator()(std::string_view name, std::string& value) const { value = reader_.string(name); }
  void operator()(std::string_view name, bool& value) const { value = reader_.boolean(name); }
  void operator()(std::string_view name, double& value) const { value = reader_.number(name); }
  void operator()(std::string_view name, std::int64_t& value, Range range = {}) const {
    value = reader_.integer(name, 0, range.minimum, range.maximum);
  }
  void operator()(std::string_view name, std::optional<std::string>& value) const {
    value = reader_.optional_string(name);
  }
  void operator()(std::string_view name, std::vector<std::string>& value) const { value = reader_.strings(name); }
  template <typename Record>
  void operator()(std::string_view name, std::vector<Record>& records) const {
    records.clear();
    reader_.objects(
        name, [&records](const ObjectReader& object) { visit_fields(records.emplace_back(), FieldReader(object)); });
  }
  template <typename Value>
  void operator()(std::string_view name, Value& value) const {
    read_field(reader_, name, value);
  }

 private:
  const ObjectReader& reader_;
};

class FieldWriter {
 public:
  explicit FieldWriter(nlohmann::json& object) : object_(object) { object_ = nlohmann::json::object(); }

  template <typename Value>
  void operator()(const char* name, const Value& value, Range /*range*/ = {}) const {
    if constexpr (requires { write_field(value); }) {
      object_[name] = write_field(value);
    } else {
      object_[name] = value;
    }
  }
  void operator()(const char* name, const std::optional<std::string>& value) const {
    object_[name] = value ? nlohmann::json(*value) : nlohmann::json();
  }
  void operator()(const char* name, const std::vector<std::string>& value) const { object_[name] = value; }
  template <typename Record>
  void operator()(const char* name, const std::vector<Record>& records) const {
    nlohmann::json list = nlohmann::json::array();
    for (const Record& record : records) visit_fields(record, FieldWriter(list.emplace_back()));
    object_[name] = std::move(list);
  }

 private:
  nlohmann::json& object_;
};

}  // namespace detail

// Every field of the record, as ObjectReader reads it: absent ones get an empty value. Throws Error (invalid).
template <typename Record>
Record read_fields(const ObjectReader& reader) {
  Record record;
  visit_fields(record, detail::FieldReader(reader));
  return record;
}

template <typename Record>
std::vector<Record> read_list(const ObjectReader& reader, std::string_view name) {
  std::vector<Record> records;
  detail::FieldReader{reader}(name, records);
  return records;
}

template <typename Record>
nlohmann::json write_fields(const Record& record) {
  nlohmann::json object;
  visit_fields(record, detail::FieldWriter(object));
  return object;
}

template <typename Record>
std::vector<std::string> field_names() {
  std::vector<std::string> names;
  Record record;
  visit_fields(record, [&names](const char* name, const auto&...) { names.emplace_back(name); });
  return names;
}

}  // namespace dstack::json
