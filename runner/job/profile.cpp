#include "runner/job/profile.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <spdlog/spdlog.h>
#include <algorithm>
#include <array>
#include <format>

#include "common/error.h"
#include "common/os/file.h"
#include "common/text/shell_words.h"

namespace dstack::runner::job {

namespace {

bool belongs_to_login(std::string_view name) {
  constexpr std::array<std::string_view, 7> names = {"HOSTNAME", "USER", "HOME", "SHELL", "SHLVL", "PWD", "_"};
  return std::ranges::contains(names, name);
}

void write_public_file(const std::filesystem::path& path, std::string_view text, int flags) {
  const os::UniqueFd file = os::open_file(path, O_WRONLY | O_CREAT | flags, 0644);
  os::write_all(file.get(), text, path.string());
  // Whatever the umask: every user may log in.
  if (::fchmod(file.get(), 0644) != 0) throw os_error("set the mode of", path.string());
}

}  // namespace

std::string profile_text(const Environment& environment) {
  std::string text;
  for (const auto& [name, value] : environment) {
    if (belongs_to_login(name)) continue;
    if (is_shell_name(name)) {
      text += std::format("export {}={}\n", name, text::shell_quoted(value));
    } else {
      spdlog::warn("The variable {} is not in the profile: its name is not valid in a shell", printable(name));
    }
  }
  return text + "cd \"$DSTACK_WORKING_DIR\"\n";
}

std::string variables_text(const Environment& environment) {
  std::string text;
  for (const auto& [name, value] : environment) {
    if (belongs_to_login(name)) continue;
    text.append(name).append("=").append(value).push_back('\0');
  }
  return text;
}

void write_profile(const Environment& environment, const ProfilePlaces& places) {
  write_public_file(places.profile, profile_text(environment), O_TRUNC);
  write_public_file(places.variables, variables_text(environment), O_TRUNC);
  const std::string line = std::format(". {}\n", text::shell_quoted(places.profile.native()));
  // A container that is started again has it already.
  if (os::try_read_file(places.hook).value_or("").contains(line)) return;
  write_public_file(places.hook, "\n" + line, O_APPEND);
}

void write_login_groups(const JobUser& user, const ProfilePlaces& places) {
  // As cmake/recipes/openssh/users.c reads it.
  std::string text = std::format("{}\n{}\n{}\n", user.name, user.gid, user.groups.size());
  for (const os::UserId group : user.groups) text += std::format("{}\n", group);
  write_public_file(places.user, text, O_TRUNC);
}

}  // namespace dstack::runner::job
