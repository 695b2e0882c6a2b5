#include "shim/task/task_config.h"

#include <algorithm>
#include <catch2/catch_test_macros.hpp>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "common/os/file.h"
#include "common/text/split.h"
#include "common/text/trim.h"

using namespace dstack;
using namespace dstack::shim;

namespace {

// The names below "properties:" of a schema in docs/api/shim.yaml.
std::vector<std::string> documented_fields(std::string_view schema) {
  const std::string document = os::read_file(std::filesystem::path(DSTACK_SOURCE_DIR) / "docs/api/shim.yaml");
  std::vector<std::string> names;
  bool inside = false;
  for (const std::string_view line : text::split_lines(document)) {
    const std::size_t indent = line.find_first_not_of(' ');
    if (indent == 4) inside = text::trim(line) == std::string(schema) + ":";
    if (inside && indent == 8) names.emplace_back(line.substr(8, line.find(':') - 8));
  }
  return names;
}

}  // namespace

TEST_CASE("the API's document lists the fields of a task that are read") {
  std::vector<std::string> fields = json::field_names<task::TaskConfig>();
  fields.emplace_back("registry_password");  // of a request only: it is never written down
  fields.emplace_back("container");          // of a local task only
  std::vector<std::string> documented = documented_fields("TaskConfig");
  std::ranges::sort(fields);
  std::ranges::sort(documented);
  CHECK(fields == documented);
}

TEST_CASE("a task's configuration is read as it was written") {
  const nlohmann::json written = {
      {"id", "1"},
      {"name", "n"},
      {"registry_username", "r"},
      {"image_name", "i"},
      {"container_user", "u"},
      {"privileged", true},
      {"gpu", -1},
      {"cpu", 1.5},
      {"memory", 2},
      {"shm_size", 3},
      {"network_mode", "bridge"},
      {"volumes",
       {{{"backend", "aws"}, {"name", "v"}, {"volume_id", "vol-1"}, {"init_fs", true}, {"device_name", nullptr}}}},
      {"volume_mounts", {{{"name", "v"}, {"path", "/v"}}}},
      {"instance_mounts", {{{"instance_path", "/h"}, {"path", "/c"}}}},
      {"gpu_devices", {{{"path_on_host", "/dev/a"}, {"path_in_container", "/dev/b"}}}},
      {"host_ssh_user", "h"},
      {"host_ssh_keys", {"k1", "k2"}},
      {"container_ssh_keys", {"k3"}},
      {"local", true},
      {"remove_when_ended", true}};
  CHECK(task::write_config(task::read_config(json::ObjectReader(written))) == written);
}

TEST_CASE("an empty configuration has the defaults") {
  const nlohmann::json empty = nlohmann::json::object();
  const task::TaskConfig config = task::read_config(json::ObjectReader(empty));
  CHECK(config.container_user == "root");
  CHECK(config.network_mode == docker::NetworkMode::host);
  CHECK(config.volumes.empty());
}
