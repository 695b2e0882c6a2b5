#include "shim/ci/journal.h"

#include <format>
#include <nlohmann/json.hpp>

#include "common/error.h"
#include "common/json/dump.h"
#include "common/json/fields.h"
#include "common/os/file.h"

namespace dstack::shim::ci {

// Found by the type of its argument, and therefore in the type's namespace.
template <json::RecordOf<Journal> Record>
void visit_fields(Record& journal, auto&& field) {
  field("name", journal.name);
  field("repo", journal.repo);
  field("driver", journal.driver);
  field("base_url", journal.base_url);
  field("path", journal.path);
  field("runner", journal.runner);
  field("listed_name", journal.listed_name);
  field("may_be_listed", journal.may_be_listed);
  field("earlier", journal.earlier);
  field("shim_port", journal.shim_port, json::Range{.minimum = 0, .maximum = 65535});
  field("own_shim", journal.own_shim);
  field("made_folder", journal.made_folder);
  field("run", journal.run);
  field("submission", journal.submission);
  field("dstack_url", journal.dstack_url);
  field("dstack_project", journal.dstack_project);
}

std::filesystem::path journal_file(const std::filesystem::path& workdir) { return workdir / "launcher.json"; }

void write_journal(const std::filesystem::path& workdir, const Journal& journal) {
  os::write_file_atomic(journal_file(workdir), json::dump(json::write_fields(journal), 2) + "\n", 0600);
}

std::optional<Journal> read_journal(const std::filesystem::path& workdir) {
  const std::filesystem::path file = journal_file(workdir);
  std::error_code failure;
  if (!std::filesystem::exists(file, failure)) return std::nullopt;
  try {
    const nlohmann::json object = json::parse_object(os::read_file(file));
    return json::read_fields<Journal>(json::ObjectReader(object));
  } catch (const std::exception& error) {
    throw Error(error_kind(error), std::format("{}: {}", file.string(), error.what()));
  }
}

}  // namespace dstack::shim::ci
