#include "runner/job/job_user.h"

#include <sys/stat.h>
#include <unistd.h>

#include <spdlog/spdlog.h>
#include <algorithm>
#include <cerrno>
#include <format>

#include "common/error.h"

namespace dstack::runner::job {

namespace {

os::UserId checked_id(std::string_view what, std::int64_t id) {
  if (id < 0 || id > os::kLargestUserId) {
    throw Error(ErrorKind::invalid, std::format("{} {} is outside 0 … {}", what, id, os::kLargestUserId));
  }
  return static_cast<os::UserId>(id);
}

// The groups this process has: the container's own, with those that its engine was told to add (for a GPU's device
// nodes, say), which no file of the image knows.
std::vector<os::UserId> own_groups() {
  const int count = ::getgroups(0, nullptr);
  if (count < 0) throw os_error("read the groups of", "the runner");
  std::vector<gid_t> groups(static_cast<std::size_t>(count));
  const int read = ::getgroups(count, groups.data());
  if (read < 0) throw os_error("read the groups of", "the runner");
  groups.resize(static_cast<std::size_t>(read));
  return {groups.begin(), groups.end()};
}

// Why `home` cannot be the job's home; nothing if it can.
std::optional<std::string> objection_to(const std::filesystem::path& home) {
  if (home.empty()) return "is not set";
  if (!home.is_absolute()) return "is not absolute";
  struct stat status{};
  if (::stat(home.c_str(), &status) == 0) {
    if (S_ISDIR(status.st_mode)) return std::nullopt;
    return "is not a folder";
  }
  if (errno != ENOENT) return describe_errno(errno);
  // Distributions name it so for users that must have none.
  if (home.native().contains("nonexistent")) return "does not exist";
  return std::nullopt;
}

std::filesystem::path usable_home(const JobUser& user, const std::filesystem::path& home) {
  const auto objection = objection_to(home);
  if (!objection) return home;
  spdlog::warn("The home folder {} of user {} {}: using / instead", printable(home.native()), printable(user.name),
               *objection);
  return "/";
}

void sort_groups(JobUser& user) {
  user.groups.push_back(user.gid);
  std::ranges::sort(user.groups);
  const auto [first, last] = std::ranges::unique(user.groups);
  user.groups.erase(first, last);
}

}  // namespace

std::filesystem::path root_home(const os::UserDatabase& users) {
  const auto root = users.find_user(os::UserId{0});
  return root && !root->home.empty() ? root->home : "/root";
}

JobUser find_job_user(const std::optional<UserRequest>& request, const os::UserDatabase& users) {
  JobUser user;
  if (!request) {
    const auto root = users.find_user(os::UserId{0});
    user.gid = ::getgid();
    user.groups = own_groups();
    user.name = root ? root->name : "root";
    sort_groups(user);
    user.home = usable_home(user, root_home(users));
    return user;
  }

  std::optional<os::UserEntry> entry;
  if (request->uid) {
    user.uid = checked_id("user id", *request->uid);
    entry = users.find_user(user.uid);
  } else if (request->username) {
    entry = users.find_user(*request->username);
    // Not every image has an /etc/passwd, or names user 0 so.
    if (!entry && *request->username == "root") {
      entry = os::UserEntry{.name = "root", .uid = 0, .gid = 0, .home = "/root", .shell = ""};
    }
    if (!entry) {
      throw Error(ErrorKind::invalid, std::format("there is no user {} in /etc/passwd", printable(*request->username)));
    }
    user.uid = entry->uid;
  } else {
    throw Error(ErrorKind::invalid, "neither a uid nor a username is given");
  }
  user.name = entry ? entry->name : std::to_string(user.uid);

  if (request->gid) {
    user.gid = checked_id("group id", *request->gid);
  } else if (request->groupname) {
    const auto group = users.find_group(*request->groupname);
    if (!group) {
      throw Error(ErrorKind::invalid,
                  std::format("there is no group {} in /etc/group", printable(*request->groupname)));
    }
    user.gid = group->gid;
  } else if (entry) {
    user.gid = entry->gid;
    user.groups = users.groups_with_member(entry->name);
  }
  sort_groups(user);
  user.home = usable_home(user, entry ? entry->home : "");
  return user;
}

}  // namespace dstack::runner::job
