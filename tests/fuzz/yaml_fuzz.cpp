// YAML that another program or a person wrote: refused with an Error, or read; and what was changed in it can be read
// again, with the change in it.

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "common/error.h"
#include "common/yaml/document.h"
#include "common/yaml/edit.h"
#include "tests/fuzz/planted.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace dstack;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  try {
    const nlohmann::json document = yaml::parse(text, "the input");
    test::planted_bug(document.is_object() && document.size() == 3 && document.contains("token") &&
                      document["token"].is_array());
    yaml::has_comments_or_anchors(text, "the input");
    const std::string changed = yaml::with_values(text, {{"token", "1e3"}, {"url", std::nullopt}}, "the input");
    const nlohmann::json again = yaml::parse(changed, "the changed input");
    if (again.at("token") != "1e3" || again.contains("url")) std::abort();
    yaml::with_item(text, {{.list = "projects", .key = "name", .value = "main"}},
                    nlohmann::ordered_json{{"name", "main"}}, "the input");
  } catch (const Error&) {
  }
  return 0;
}
