// Changes an input that is JSON, perhaps behind a byte that selects something, so that it stays JSON: a value is
// replaced, removed or taken from elsewhere in the document, a list gets more elements. One time in sixteen the
// bytes are changed instead.

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <nlohmann/json.hpp>
#include <random>
#include <string>
#include <string_view>
#include <vector>

extern "C" std::size_t LLVMFuzzerMutate(std::uint8_t* data, std::size_t size, std::size_t limit);

namespace {

using nlohmann::json;

// All values of a document that lie in a list or an object, with that.
struct Place {
  json* parent = nullptr;
  json* value = nullptr;
  std::string key;
  std::size_t index = 0;
};

void collect(json& parent, std::vector<Place>& places) {
  if (parent.is_object()) {
    for (auto item = parent.begin(); item != parent.end(); ++item) {
      places.push_back({.parent = &parent, .value = &item.value(), .key = item.key()});
      collect(item.value(), places);
    }
  } else if (parent.is_array()) {
    for (std::size_t i = 0; i < parent.size(); ++i) {
      places.push_back({.parent = &parent, .value = &parent[i], .index = i});
      collect(parent[i], places);
    }
  }
}

std::string mutated(std::string text) {
  const std::size_t size = text.size();
  text.resize(size + 16);
  text.resize(LLVMFuzzerMutate(reinterpret_cast<std::uint8_t*>(text.data()), size, text.size()));
  return text;
}

json interesting(std::minstd_rand& random) {
  const std::array<json, 16> values = {json(),    true,       false, 0,   -1, 1,   INT32_MAX,     INT64_MAX,
                                       INT64_MIN, UINT64_MAX, 1e308, 0.5, "", "0", json::array(), json::object()};
  return values[random() % values.size()];
}

// How many elements a list has is what most parsers' work depends on.
void lengthen(json& list, std::minstd_rand& random) {
  const std::size_t wanted = list.size() + 1 + random() % 3;
  while (list.size() < wanted) {
    json copy = list.at(random() % list.size());
    list.push_back(std::move(copy));
  }
}

void change_one(json& document, std::minstd_rand& random) {
  std::vector<Place> places;
  collect(document, places);
  if (places.empty()) {
    document = interesting(random);
    return;
  }
  std::vector<json*> lists;
  for (const Place& place : places) {
    if (place.value->is_array() && !place.value->empty()) lists.push_back(place.value);
  }
  if (document.is_array()) lists.push_back(&document);
  if (!lists.empty() && random() % 4 == 0) return lengthen(*lists[random() % lists.size()], random);
  const Place& place = places[random() % places.size()];
  const json other = *places[random() % places.size()].value;
  switch (random() % 8) {
    case 0:
      if (place.parent->is_object()) {
        place.parent->erase(place.key);
      } else {
        place.parent->erase(place.index);
      }
      break;
    case 1: *place.value = interesting(random); break;
    case 2: *place.value = other; break;
    case 3:
      if (place.value->is_array()) {
        place.value->push_back(place.value->empty() ? other : place.value->at(random() % place.value->size()));
      } else {
        *place.value = json::array({*place.value, other});
      }
      break;
    case 4:
      if (place.parent->is_object()) {
        (*place.parent)[mutated(place.key)] = other;
      } else {
        place.parent->push_back(other);
      }
      break;
    default:
      if (place.value->is_string()) {
        *place.value = mutated(place.value->get<std::string>());
      } else if (place.value->is_number_integer()) {
        *place.value = place.value->get<std::int64_t>() ^ (std::int64_t{1} << random() % 40);
      } else {
        *place.value = interesting(random);
      }
  }
}

}  // namespace

extern "C" std::size_t LLVMFuzzerCustomMutator(std::uint8_t* data, std::size_t size, std::size_t limit,
                                               unsigned int seed) {
  std::minstd_rand random(seed);
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  const std::size_t begin = input.substr(0, 2).find_first_of("{[");
  if (random() % 16 == 0 || begin == std::string_view::npos) return LLVMFuzzerMutate(data, size, limit);
  json document = json::parse(input.substr(begin), nullptr, false);
  if (document.is_discarded()) return LLVMFuzzerMutate(data, size, limit);
  for (auto changes = 1 + random() % 3; changes > 0; --changes) change_one(document, random);
  const std::string text = document.dump(-1, ' ', false, json::error_handler_t::replace);
  if (begin + text.size() > limit) return LLVMFuzzerMutate(data, size, limit);
  std::memcpy(data + begin, text.data(), text.size());
  return begin + text.size();
}
