#pragma once

#include <yaml.h>

#include <string>
#include <string_view>

#include "common/error.h"

// libyaml's documents, for the files of this folder.
namespace dstack::yaml {

Error invalid(std::string_view what, std::string_view reason);

// A document, loaded; the parser keeps nothing of it. `what` names it in messages. Throws Error (invalid).
class Document {
 public:
  Document(std::string_view text, std::string_view what);
  Document(const Document&) = delete;
  Document& operator=(const Document&) = delete;
  ~Document();

  yaml_document_t* get() { return &document_; }
  // Null for an empty document.
  yaml_node_t* root() { return yaml_document_get_root_node(&document_); }
  yaml_node_t* node(int index) { return yaml_document_get_node(&document_, index); }
  const std::string& what() const { return what_; }
  // As text; nothing is left of the document then.
  std::string emit();

 private:
  std::string what_;
  yaml_document_t document_{};
};

std::string text_of(const yaml_node_t& scalar);

// Lets a parser read `text`, which must outlive it. An empty view may have no data at all; libyaml takes that for a
// bug.
inline void set_input(yaml_parser_t& parser, std::string_view text) {
  const char* const data = text.empty() ? "" : text.data();
  yaml_parser_set_input_string(&parser, reinterpret_cast<const unsigned char*>(data), text.size());
}

// A new node's index. Every pointer to a node is invalid after that. Throws bad_alloc.
int add_scalar(Document& document, const std::string& text, yaml_scalar_style_t style);
// The style of a string: one that a reader of YAML 1.1 would take for a number, a truth value or null is quoted.
yaml_scalar_style_t style_of(const std::string& text);

}  // namespace dstack::yaml
