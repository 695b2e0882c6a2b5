#include "common/yaml/document.h"

#include <yaml.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <format>
#include <nlohmann/json.hpp>
#include <utility>

#include "common/error.h"
#include "common/text/letter_case.h"

namespace dstack::yaml {

using nlohmann::json;

namespace {

constexpr int kNodeLimit = 10'000;
constexpr int kDepthLimit = 50;

Error invalid(std::string_view what, std::string_view reason) {
  return {ErrorKind::invalid, std::format("{}: {}", what, reason)};
}

// libyaml's document, loaded; the parser keeps nothing of it.
class Document {
 public:
  Document(std::string_view text, std::string_view what) : what_(what) {
    yaml_parser_t parser;
    if (yaml_parser_initialize(&parser) == 0) throw std::bad_alloc();
    yaml_parser_set_input_string(&parser, reinterpret_cast<const unsigned char*>(text.data()), text.size());
    const bool loaded = yaml_parser_load(&parser, &document_) != 0;
    const std::string reason = loaded ? "" : describe(parser);
    yaml_parser_delete(&parser);
    if (!loaded) throw invalid(what, reason);
  }
  Document(const Document&) = delete;
  Document& operator=(const Document&) = delete;
  ~Document() { yaml_document_delete(&document_); }

  yaml_document_t* get() { return &document_; }
  // For whom deletes it.
  yaml_document_t release() { return std::exchange(document_, yaml_document_t{}); }
  yaml_node_t* root() { return yaml_document_get_root_node(&document_); }
  yaml_node_t* node(int index) { return yaml_document_get_node(&document_, index); }
  const std::string& what() const { return what_; }

 private:
  // The parser's own text is a constant of libyaml; nothing of the document is quoted, which may hold a token.
  static std::string describe(const yaml_parser_t& parser) {
    return std::format("not YAML, line {}: {}", parser.problem_mark.line + 1,
                       parser.problem == nullptr ? "cannot be read" : parser.problem);
  }

  std::string what_;
  yaml_document_t document_{};
};

std::string text_of(const yaml_node_t& node) {
  return {reinterpret_cast<const char*>(node.data.scalar.value), node.data.scalar.length};
}

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

int add_scalar(Document& document, const std::string& text, yaml_scalar_style_t style) {
  const int index =
      yaml_document_add_scalar(document.get(), nullptr, reinterpret_cast<const unsigned char*>(text.data()),
                               static_cast<int>(text.size()), style);
  if (index == 0) throw std::bad_alloc();
  return index;
}

// A value that a reader of YAML 1.1 would take for a number, a truth value or nothing is quoted.
yaml_scalar_style_t style_of(const std::string& text) {
  const bool begins_as_text =
      !text.empty() && ((text[0] >= 'a' && text[0] <= 'z') || (text[0] >= 'A' && text[0] <= 'Z') || text[0] == '/');
  static constexpr std::array kReserved = {"true", "false", "yes", "no", "on", "off", "y", "n", "null", "none"};
  const std::string lower = text::lower_case(text);
  const bool reserved = std::ranges::find(kReserved, lower) != kReserved.end();
  return begins_as_text && !reserved ? YAML_ANY_SCALAR_STYLE : YAML_DOUBLE_QUOTED_SCALAR_STYLE;
}

void set(Document& document, int root, const std::string& key, const std::optional<std::string>& value) {
  auto& pairs = document.node(root)->data.mapping.pairs;
  yaml_node_pair_t* found = pairs.start;
  while (found != pairs.top && text_of(*document.node(found->key)) != key) ++found;
  const auto position = found - pairs.start;
  const bool present = found != pairs.top;
  if (!value) {
    if (!present) return;
    std::move(found + 1, pairs.top, found);
    --pairs.top;
    return;
  }
  const int scalar = add_scalar(document, *value, style_of(*value));
  // Adding a node moves them all.
  if (present) {
    document.node(root)->data.mapping.pairs.start[position].value = scalar;
  } else if (yaml_document_append_mapping_pair(document.get(), root, add_scalar(document, key, YAML_ANY_SCALAR_STYLE),
                                               scalar) == 0) {
    throw std::bad_alloc();
  }
}

int append(void* to, unsigned char* data, std::size_t size) {
  static_cast<std::string*>(to)->append(reinterpret_cast<const char*>(data), size);
  return 1;
}

std::string emit(Document& document) {
  yaml_emitter_t emitter;
  if (yaml_emitter_initialize(&emitter) == 0) throw std::bad_alloc();
  std::string text;
  yaml_emitter_set_output(&emitter, append, &text);
  yaml_emitter_set_unicode(&emitter, 1);
  yaml_emitter_set_width(&emitter, -1);
  bool emitted = yaml_emitter_open(&emitter) != 0;
  if (emitted) {
    // libyaml deletes what it dumps, however that ends.
    yaml_document_t dumped = document.release();
    emitted = yaml_emitter_dump(&emitter, &dumped) != 0 && yaml_emitter_close(&emitter) != 0;
  }
  yaml_emitter_delete(&emitter);
  if (!emitted) throw invalid(document.what(), "cannot be written as YAML");
  return text;
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
  return emit(document);
}

}  // namespace dstack::yaml
