#pragma once

#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

// Changes deep in a YAML document that somebody else wrote.
namespace dstack::yaml {

// An item of the list `list` of a mapping: the mapping whose `key` has this value.
struct ListItem {
  std::string list;
  std::string key;
  std::string value;
};

// `text` with the item at the end of `path` replaced by `item`, added where it is missing, or taken out where there is
// no `item`. The rest keeps its values and style; comments and anchors are lost (has_comments_or_anchors). Nothing if
// an item before the last one is not there. Throws Error (invalid) as parse() does, and for a list that is not a list.
std::optional<std::string> with_item(std::string_view text, const std::vector<ListItem>& path,
                                     const std::optional<nlohmann::ordered_json>& item, std::string_view what);

// Whether writing the document anew would lose something of it. Throws Error (invalid).
bool has_comments_or_anchors(std::string_view text, std::string_view what);

// A value as the only item of a YAML list, in block style. Members that are null are left out.
std::string to_yaml_item(const nlohmann::ordered_json& value);

}  // namespace dstack::yaml
