#include "runner/exec/request.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <csignal>
#include <format>
#include <nlohmann/json.hpp>
#include <optional>

#include "common/error.h"
#include "common/json/object_reader.h"
#include "common/json/refusal.h"
#include "common/os/signals.h"
#include "common/os/usual_folders.h"
#include "common/text/base64.h"
#include "common/text/number.h"
#include "common/text/split.h"

namespace dstack::runner::exec {

using dstack::json::ObjectReader;
using dstack::json::refuse;
using dstack::json::refuse_nul;
using nlohmann::json;

namespace {

constexpr std::size_t kIdLimit = 64;
constexpr double kLongestGrace = 24 * 60 * 60;  // seconds

void check_id(const std::string& id) {
  const auto fits = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '-';
  };
  if (id.empty() || id.size() > kIdLimit || !std::ranges::all_of(id, fits))
    refuse("id", std::format("{} is not 1 to {} letters, digits, \"_\" and \"-\"", printable(id), kIdLimit));
}

void refuse_nul(std::string_view field, const std::string& text) {
  if (text.contains('\0')) refuse(field, "contains a NUL byte");
}

// "name", "uid", "name:group", "uid:gid" and the like.
job::UserRequest parse_user(const std::string& text) {
  std::string_view rest = text;
  const std::string user(text::take_until(rest, ':'));
  const std::string group(rest);
  job::UserRequest request;
  if (text::is_digits(user)) {
    request.uid = text::parse_number<std::int64_t>(user).value_or(-1);
  } else if (user == "root") {
    // Is 0 in every image, also in one without an /etc/passwd.
    request.uid = 0;
  } else {
    request.username = user;
  }
  if (text::is_digits(group)) {
    request.gid = text::parse_number<std::int64_t>(group).value_or(-1);
  } else if (!group.empty()) {
    request.groupname = group;
  }
  return request;
}

job::JobUser find_user(const std::string& text, const os::UserDatabase& users) {
  try {
    return job::find_job_user(text.empty() ? std::nullopt : std::optional(parse_user(text)), users);
  } catch (const std::exception& error) {
    refuse("user", error.what());
  }
}

job::Environment make_environment(const ObjectReader& reader, job::Environment environment, const job::JobUser& user) {
  const auto own = reader.string_map("env");
  for (const auto& [name, value] : own) {
    if (name.empty() || name.contains('=')) refuse("env", printable(name) + " is not a valid variable name");
    refuse_nul("env", name);
    refuse_nul("env", value);
    environment.insert_or_assign(name, value);
  }
  if (!own.contains("HOME")) environment.insert_or_assign("HOME", user.home.string());
  environment.try_emplace("PATH", os::kUsualFolders);
  return environment;
}

bool is_folder(const std::string& path) {
  struct stat status{};
  return ::stat(path.c_str(), &status) == 0 && S_ISDIR(status.st_mode);
}

enum class Found { no, not_executable, yes };

Found look_at(const std::string& path) {
  struct stat status{};
  if (::stat(path.c_str(), &status) != 0) return Found::no;
  const bool executable = S_ISREG(status.st_mode) && ::faccessat(AT_FDCWD, path.c_str(), X_OK, AT_EACCESS) == 0;
  return executable ? Found::yes : Found::not_executable;
}

std::string find_program(const std::string& name, const std::string& path, const std::string& working_dir) {
  if (name.contains('/')) {
    const bool relative = !name.starts_with('/') && !working_dir.empty();
    const std::string file = relative ? working_dir + "/" + name : name;
    const Found found = look_at(file);
    if (found == Found::no) throw NoSuchProgram(name + ": not found");
    if (found == Found::not_executable) throw NoSuchProgram(name + ": not executable");
    return file;
  }
  bool refused = false;
  for (const std::string_view folder : text::split(path, ':')) {
    // Where a relative folder leads depends on who looks.
    if (!folder.starts_with('/')) continue;
    std::string file = std::format("{}/{}", folder, name);
    const Found found = look_at(file);
    if (found == Found::yes) return file;
    refused = refused || (found == Found::not_executable && !is_folder(file));
  }
  throw NoSuchProgram(name + (refused ? ": not executable" : ": not found"));
}

}  // namespace

ExecSpec read_exec(const std::string& body, const job::Environment& container, const os::UserDatabase& users) {
  const json object = dstack::json::parse_object(body);
  const ObjectReader reader(object);
  ExecSpec spec;
  spec.id = reader.string("id");
  check_id(spec.id);
  spec.arguments = reader.strings("argv");
  if (spec.arguments.empty() || spec.arguments.front().empty()) refuse("argv", "does not name a program");
  for (const std::string& argument : spec.arguments) refuse_nul("argv", argument);
  spec.working_dir = reader.string("working_dir");
  refuse_nul("working_dir", spec.working_dir);
  if (!spec.working_dir.empty() && !is_folder(spec.working_dir))
    refuse("working_dir", printable(spec.working_dir) + " does not exist or is not a folder");
  spec.user = find_user(reader.string("user"), users);
  spec.input = reader.string("input");
  if (!text::decode_base64(spec.input)) refuse("input", "is not base64");
  const job::Environment environment = make_environment(reader, container, spec.user);
  spec.environment = job::render(environment);
  spec.program = find_program(spec.arguments.front(), environment.at("PATH"), spec.working_dir);
  return spec;
}

StopRequest read_stop(const std::string& body) {
  StopRequest request{.signal = SIGTERM};
  if (body.empty()) return request;
  const json object = dstack::json::parse_object(body);
  const ObjectReader reader(object);
  const std::string name = reader.string("signal", "SIGTERM");
  const auto number = os::signal_number(name);
  if (!number) refuse("signal", std::format("unknown signal {}", printable(name)));
  request.signal = *number;
  const double grace = reader.number("grace", 5);
  if (!(grace >= 0 && grace <= kLongestGrace)) refuse("grace", "not a number of seconds");
  request.grace = std::chrono::milliseconds(std::llround(grace * 1000));
  return request;
}

json to_json(const ExecSpec& spec) {
  return {{"argv", spec.arguments},      {"program", spec.program},
          {"env", spec.environment},     {"working_dir", spec.working_dir},
          {"user_name", spec.user.name}, {"uid", spec.user.uid},
          {"gid", spec.user.gid},        {"groups", spec.user.groups},
          {"input", spec.input}};
}

ExecSpec spec_of(const json& object) {
  const ObjectReader reader(object);
  ExecSpec spec;
  spec.arguments = reader.strings("argv");
  spec.program = reader.string("program");
  spec.environment = reader.strings("env");
  spec.working_dir = reader.string("working_dir");
  spec.user.name = reader.string("user_name");
  spec.user.uid = static_cast<os::UserId>(reader.integer("uid"));
  spec.user.gid = static_cast<os::UserId>(reader.integer("gid"));
  for (const std::int64_t group : reader.integers("groups")) spec.user.groups.push_back(static_cast<os::UserId>(group));
  spec.input = reader.string("input");
  return spec;
}

}  // namespace dstack::runner::exec
