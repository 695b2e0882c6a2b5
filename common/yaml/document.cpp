#include "common/yaml/document.h"

#include <algorithm>
#include <format>
#include <nlohmann/json.hpp>

#include "common/yaml/tree.h"

namespace dstack::yaml {

using nlohmann::json;

namespace {

constexpr int kNodeLimit = 10'000;
constexpr int kDepthLimit = 50;

class Reader {
 public:
  explicit Reader(Document& document) : document_(document) {}

  json read(const yaml_node_t& node, int depth = 0) {
    if (depth > kDepthLimit || ++count_ > kNodeLimit) throw invalid(document_.what(), "too large or nested too deep");
    switch (node.type) {
      case YAML_SCALAR_NODE: return scalar(node);
      case YAML_SEQUENCE_NODE: return sequence(node, depth);
      case YAML_MAPPING_NODE: return mapping(node, depth);
      case YAML_NO_NODE: break;
    }
    return {};
  }

 private:
  static json scalar(const yaml_node_t& node) {
    std::string text = text_of(node);
    const bool plain = node.data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
    if (plain && (text.empty() || text == "~" || text == "null")) return {};
    return text;
  }

  json sequence(const yaml_node_t& node, int depth) {
    json list = json::array();
    const auto& items = node.data.sequence.items;
    for (const yaml_node_item_t* item = items.start; item != items.top; ++item) {
      list.push_back(read(*document_.node(*item), depth + 1));
    }
    return list;
  }

  json mapping(const yaml_node_t& node, int depth) {
    json object = json::object();
    const auto& pairs = node.data.mapping.pairs;
    for (const yaml_node_pair_t* pair = pairs.start; pair != pairs.top; ++pair) {
      const yaml_node_t& key = *document_.node(pair->key);
      if (key.type != YAML_SCALAR_NODE) {
        throw invalid(document_.what(), std::format("line {}: a key that is not a string", key.start_mark.line + 1));
      }
      object[text_of(key)] = read(*document_.node(pair->value), depth + 1);
    }
    return object;
  }

  Document& document_;
  int count_ = 0;
};

// Of several pairs with the same key the last one counts, as in parse().
void set(Document& document, int root, const std::string& key, const std::optional<std::string>& value) {
  auto& pairs = document.node(root)->data.mapping.pairs;
  const auto has_key = [&](const yaml_node_pair_t& pair) { return text_of(*document.node(pair.key)) == key; };
  yaml_node_pair_t* const first = std::find_if(pairs.start, pairs.top, has_key);
  const auto position = first - pairs.start;
  const bool present = first != pairs.top;
  if (present) pairs.top = std::remove_if(value ? first + 1 : first, pairs.top, has_key);
  if (!value) return;
  const int scalar = add_scalar(document, *value, style_of(*value));
  // Adding a node moves them all.
  if (present) {
    document.node(root)->data.mapping.pairs.start[position].value = scalar;
  } else if (yaml_document_append_mapping_pair(document.get(), root, add_scalar(document, key, YAML_ANY_SCALAR_STYLE),
                                               scalar) == 0) {
    throw std::bad_alloc();
  }
}

}  // namespace

json parse(std::string_view text, std::string_view what) {
  Document document(text, what);
  const yaml_node_t* root = document.root();
  return root == nullptr ? json() : Reader(document).read(*root);
}

std::string with_values(std::string_view text, const std::map<std::string, std::optional<std::string>>& values,
                        std::string_view what) {
  // All of it is looked at first: what cannot be read is not rewritten.
  const json before = parse(text, what);
  if (!before.is_null() && !before.is_object()) throw invalid(what, "not a mapping");
  Document document(before.is_null() ? "{}" : text, what);
  document.root()->data.mapping.style = YAML_BLOCK_MAPPING_STYLE;
  document.get()->start_implicit = 1;
  document.get()->end_implicit = 1;
  for (const auto& [key, value] : values) set(document, 1, key, value);
  return document.emit();
}

}  // namespace dstack::yaml
