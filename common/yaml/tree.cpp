#include "common/yaml/tree.h"

#include <algorithm>
#include <array>
#include <format>
#include <new>
#include <utility>

#include "common/text/letter_case.h"

namespace dstack::yaml {

namespace {

// The parser's own text is a constant of libyaml; nothing of the document is quoted, which may hold a token.
std::string describe(const yaml_parser_t& parser) {
  return std::format("not YAML, line {}: {}", parser.problem_mark.line + 1,
                     parser.problem == nullptr ? "cannot be read" : parser.problem);
}

int append(void* to, unsigned char* data, std::size_t size) {
  static_cast<std::string*>(to)->append(reinterpret_cast<const char*>(data), size);
  return 1;
}

}  // namespace

Error invalid(std::string_view what, std::string_view reason) {
  return {ErrorKind::invalid, std::format("{}: {}", what, reason)};
}

Document::Document(std::string_view text, std::string_view what) : what_(what) {
  yaml_parser_t parser;
  if (yaml_parser_initialize(&parser) == 0) throw std::bad_alloc();
  set_input(parser, text);
  const bool loaded = yaml_parser_load(&parser, &document_) != 0;
  const std::string reason = loaded ? "" : describe(parser);
  yaml_parser_delete(&parser);
  if (!loaded) throw invalid(what, reason);
}

Document::~Document() { yaml_document_delete(&document_); }

std::string Document::emit() {
  yaml_emitter_t emitter;
  if (yaml_emitter_initialize(&emitter) == 0) throw std::bad_alloc();
  std::string text;
  yaml_emitter_set_output(&emitter, append, &text);
  yaml_emitter_set_unicode(&emitter, 1);
  yaml_emitter_set_width(&emitter, -1);
  bool emitted = yaml_emitter_open(&emitter) != 0;
  if (emitted) {
    // libyaml deletes what it dumps, however that ends.
    yaml_document_t dumped = std::exchange(document_, yaml_document_t{});
    emitted = yaml_emitter_dump(&emitter, &dumped) != 0 && yaml_emitter_close(&emitter) != 0;
  }
  yaml_emitter_delete(&emitter);
  if (!emitted) throw invalid(what_, "cannot be written as YAML");
  return text;
}

std::string text_of(const yaml_node_t& scalar) {
  return {reinterpret_cast<const char*>(scalar.data.scalar.value), scalar.data.scalar.length};
}

int add_scalar(Document& document, const std::string& text, yaml_scalar_style_t style) {
  const int index =
      yaml_document_add_scalar(document.get(), nullptr, reinterpret_cast<const unsigned char*>(text.data()),
                               static_cast<int>(text.size()), style);
  if (index == 0) throw std::bad_alloc();
  return index;
}

yaml_scalar_style_t style_of(const std::string& text) {
  const bool begins_as_text =
      !text.empty() && ((text[0] >= 'a' && text[0] <= 'z') || (text[0] >= 'A' && text[0] <= 'Z') || text[0] == '/');
  static constexpr std::array kReserved = {"true", "false", "yes", "no", "on", "off", "y", "n", "null", "none"};
  const std::string lower = text::lower_case(text);
  const bool reserved = std::ranges::find(kReserved, lower) != kReserved.end();
  return begins_as_text && !reserved ? YAML_ANY_SCALAR_STYLE : YAML_DOUBLE_QUOTED_SCALAR_STYLE;
}

}  // namespace dstack::yaml
