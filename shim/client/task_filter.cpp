#include "shim/client/task_filter.h"

#include <algorithm>
#include <array>
#include <format>
#include <set>
#include <string_view>

#include "common/error.h"
#include "common/text/number.h"

namespace dstack::shim::client {

namespace {

constexpr std::array<std::string_view, 7> kKeys{"id", "name", "image", "ancestor", "status", "exited", "local"};
constexpr std::array<std::string_view, 6> kStatuses{"pending",  "preparing", "pulling",
                                                    "creating", "running",   "terminated"};

// An image's name without its tag or digest; a colon before a slash is a port's.
std::string_view without_tag(std::string_view image) {
  image = image.substr(0, image.find('@'));
  const std::size_t colon = image.rfind(':');
  return colon == std::string_view::npos || image.find('/', colon) != std::string_view::npos ? image
                                                                                             : image.substr(0, colon);
}

}  // namespace

TaskFilter::TaskFilter(const std::vector<std::string>& filters) {
  for (const std::string& filter : filters) {
    const std::size_t equals = filter.find('=');
    Condition condition{.key = filter.substr(0, equals),
                        .value = equals == std::string::npos ? "" : filter.substr(equals + 1)};
    if (equals == std::string::npos || !std::ranges::contains(kKeys, condition.key)) {
      throw Error(ErrorKind::invalid, std::format("invalid filter {}: use id, name, image, status, exited or local, as "
                                                  "in status=running",
                                                  printable(filter)));
    }
    if (condition.key == "ancestor") condition.key = "image";
    if (condition.key == "status" && condition.value == "exited") condition.value = "terminated";
    const bool known = condition.key == "exited"   ? text::parse_number<int>(condition.value).has_value()
                       : condition.key == "status" ? std::ranges::contains(kStatuses, condition.value)
                       : condition.key == "local"  ? condition.value == "true" || condition.value == "false"
                                                   : true;
    if (!known) throw Error(ErrorKind::invalid, std::format("invalid filter {}: unknown value", printable(filter)));
    conditions_.push_back(std::move(condition));
  }
}

bool TaskFilter::matches(const TaskEntry& task) const {
  std::set<std::string_view> keys;
  std::set<std::string_view> matched;
  for (const Condition& condition : conditions_) {
    keys.insert(condition.key);
    if (matches(condition, task)) matched.insert(condition.key);
  }
  return keys == matched;
}

bool TaskFilter::matches(const Condition& condition, const TaskEntry& task) {
  const auto& [key, value] = condition;
  if (key == "id") return task.id.starts_with(value);
  if (key == "name") return task.name.contains(value);
  if (key == "image") return task.image == value || without_tag(task.image) == value;
  if (key == "status") return task.status == value;
  if (key == "exited") return task.exit_status && task.exit_status == text::parse_number<int>(value);
  return task.local == (value == "true");
}

}  // namespace dstack::shim::client
