#include "common/yaml/edit.h"

#include <algorithm>
#include <new>
#include <nlohmann/json.hpp>

#include "common/json/dump.h"
#include "common/yaml/document.h"
#include "common/yaml/tree.h"

namespace dstack::yaml {

using nlohmann::ordered_json;

namespace {

int checked(int index) {
  if (index == 0) throw std::bad_alloc();
  return index;
}

int add_value(Document& document, const ordered_json& value) {
  if (value.is_object()) {
    const int mapping = checked(yaml_document_add_mapping(document.get(), nullptr, YAML_BLOCK_MAPPING_STYLE));
    for (const auto& [key, member] : value.items()) {
      if (member.is_null()) continue;
      const int name = add_scalar(document, key, style_of(key));
      checked(yaml_document_append_mapping_pair(document.get(), mapping, name, add_value(document, member)));
    }
    return mapping;
  }
  if (value.is_array()) {
    const int list = checked(yaml_document_add_sequence(document.get(), nullptr, YAML_BLOCK_SEQUENCE_STYLE));
    for (const ordered_json& member : value)
      checked(yaml_document_append_sequence_item(document.get(), list, add_value(document, member)));
    return list;
  }
  if (value.is_string()) {
    const std::string text = value.get<std::string>();
    return add_scalar(document, text, style_of(text));
  }
  return add_scalar(document, dstack::json::dump(value), YAML_PLAIN_SCALAR_STYLE);
}

// The index of a mapping's value, of several with this key the last one's, as in parse(); 0 if it has no such key.
int value_of(Document& document, int mapping, const std::string& key) {
  const yaml_node_t& node = *document.node(mapping);
  if (node.type != YAML_MAPPING_NODE) return 0;
  int value = 0;
  for (const yaml_node_pair_t* pair = node.data.mapping.pairs.start; pair != node.data.mapping.pairs.top; ++pair) {
    if (text_of(*document.node(pair->key)) == key) value = pair->value;
  }
  return value;
}

bool is_null(Document& document, int node) {
  const yaml_node_t& value = *document.node(node);
  if (value.type != YAML_SCALAR_NODE || value.data.scalar.style != YAML_PLAIN_SCALAR_STYLE) return false;
  const std::string text = text_of(value);
  return text.empty() || text == "~" || text == "null";
}

// The index of the list, which is made where it is missing or null.
int list_of(Document& document, int mapping, const std::string& name) {
  const int found = value_of(document, mapping, name);
  if (found != 0 && !is_null(document, found)) {
    if (document.node(found)->type != YAML_SEQUENCE_NODE) throw invalid(document.what(), name + " is not a list");
    return found;
  }
  const int list = checked(yaml_document_add_sequence(document.get(), nullptr, YAML_BLOCK_SEQUENCE_STYLE));
  if (found == 0) {
    const int key = add_scalar(document, name, style_of(name));
    checked(yaml_document_append_mapping_pair(document.get(), mapping, key, list));
    return list;
  }
  auto& pairs = document.node(mapping)->data.mapping.pairs;
  std::find_if(pairs.start, pairs.top, [&](const yaml_node_pair_t& pair) { return pair.value == found; })->value = list;
  return list;
}

// The item's position in the list; the list's length if it is not there.
std::ptrdiff_t position_of(Document& document, int list, const ListItem& item) {
  const auto& items = document.node(list)->data.sequence.items;
  const auto* found = std::find_if(items.start, items.top, [&](yaml_node_item_t index) {
    const int value = value_of(document, index, item.key);
    return value != 0 && document.node(value)->type == YAML_SCALAR_NODE && text_of(*document.node(value)) == item.value;
  });
  return found - items.start;
}

void set_item(Document& document, int list, const ListItem& place, const std::optional<ordered_json>& item) {
  const std::ptrdiff_t position = position_of(document, list, place);
  auto& before = document.node(list)->data.sequence.items;
  const bool present = position != before.top - before.start;
  if (!item) {
    if (present) {
      std::move(before.start + position + 1, before.top, before.start + position);
      --before.top;
    }
    return;
  }
  const int value = add_value(document, *item);
  // Adding nodes moved them all.
  auto& sequence = document.node(list)->data.sequence;
  sequence.style = YAML_BLOCK_SEQUENCE_STYLE;
  if (present) {
    sequence.items.start[position] = value;
  } else {
    checked(yaml_document_append_sequence_item(document.get(), list, value));
  }
}

// The tokens of a text, one at a time.
class Scanner {
 public:
  Scanner(std::string_view text, std::string_view what) : what_(what) {
    if (yaml_parser_initialize(&parser_) == 0) throw std::bad_alloc();
    set_input(parser_, text);
  }
  Scanner(const Scanner&) = delete;
  Scanner& operator=(const Scanner&) = delete;
  ~Scanner() {
    yaml_token_delete(&token_);
    yaml_parser_delete(&parser_);
  }

  // False at the end.
  bool next() {
    yaml_token_delete(&token_);
    if (yaml_parser_scan(&parser_, &token_) == 0) throw invalid(what_, "not YAML");
    return token_.type != YAML_STREAM_END_TOKEN;
  }
  const yaml_token_t& token() const { return token_; }

 private:
  std::string what_;
  yaml_parser_t parser_{};
  yaml_token_t token_{};
};

}  // namespace

std::optional<std::string> with_item(std::string_view text, const std::vector<ListItem>& path,
                                     const std::optional<ordered_json>& item, std::string_view what) {
  // All of it is looked at first: what cannot be read is not rewritten.
  if (!parse(text, what).is_object()) return std::nullopt;
  Document document(text, what);
  document.get()->start_implicit = 1;
  document.get()->end_implicit = 1;
  int mapping = 1;
  for (std::size_t step = 0; step < path.size(); ++step) {
    // Nothing is made to take something out of it.
    if (!item && value_of(document, mapping, path[step].list) == 0) return std::string(text);
    const int list = list_of(document, mapping, path[step].list);
    if (step + 1 == path.size()) {
      set_item(document, list, path[step], item);
      break;
    }
    const auto& items = document.node(list)->data.sequence.items;
    const std::ptrdiff_t position = position_of(document, list, path[step]);
    if (position == items.top - items.start) return std::nullopt;
    mapping = items.start[position];
    document.node(mapping)->data.mapping.style = YAML_BLOCK_MAPPING_STYLE;
  }
  return document.emit();
}

bool has_comments_or_anchors(std::string_view text, std::string_view what) {
  // libyaml counts characters. What lies outside of scalars can hold a '#' in a comment only.
  struct Span {
    std::size_t begin, end;
    bool block;
  };
  std::vector<Span> scalars;
  Scanner scanner(text, what);
  while (scanner.next()) {
    const yaml_token_t& token = scanner.token();
    if (token.type == YAML_ANCHOR_TOKEN || token.type == YAML_ALIAS_TOKEN) return true;
    if (token.type != YAML_SCALAR_TOKEN) continue;
    const yaml_scalar_style_t style = token.data.scalar.style;
    scalars.push_back({.begin = token.start_mark.index,
                       .end = token.end_mark.index,
                       .block = style == YAML_LITERAL_SCALAR_STYLE || style == YAML_FOLDED_SCALAR_STYLE});
  }
  std::size_t position = 0;
  std::size_t line = 0;  // where it began
  std::size_t next = 0;
  for (const char byte : text) {
    if ((static_cast<unsigned char>(byte) & 0xc0) == 0x80) continue;  // not a character's first byte
    while (next < scalars.size() && scalars[next].end <= position) ++next;
    const bool in_scalar = next < scalars.size() && scalars[next].begin <= position;
    // The line with the indicator of a block ("|") may end in a comment.
    const bool in_indicator_line = in_scalar && scalars[next].block && line <= scalars[next].begin;
    if (byte == '#' && (!in_scalar || in_indicator_line)) return true;
    ++position;
    if (byte == '\n') line = position;
  }
  return false;
}

std::string to_yaml_item(const ordered_json& value) {
  Document document("[]", "the value");
  document.get()->start_implicit = 1;
  document.get()->end_implicit = 1;
  checked(yaml_document_append_sequence_item(document.get(), 1, add_value(document, value)));
  document.node(1)->data.sequence.style = YAML_BLOCK_SEQUENCE_STYLE;
  return document.emit();
}

}  // namespace dstack::yaml
