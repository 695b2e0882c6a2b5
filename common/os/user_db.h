#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace dstack::os {

// A user id as the kernel has it. 2³²-1 means "no id" to every system call and is never one.
using UserId = std::uint32_t;
inline constexpr std::int64_t kLargestUserId = 0xfffffffeLL;

struct UserEntry {
  std::string name;
  UserId uid = 0;
  UserId gid = 0;
  std::string home;  // as it is written there: maybe empty, maybe relative
  std::string shell;
};

struct GroupEntry {
  std::string name;
  UserId gid = 0;
};

// Users and groups as their files have them, read without libc: a static program has no name service, and an image
// may have a broken one. Nothing is cached, since a job may add users. A missing file is an empty one; a line that is
// no entry (too few fields, an id that is no number) is passed over; the first of several entries counts. Memory stays
// flat whatever the size of a file. A file that is there and cannot be read: Error.
class UserDatabase {
 public:
  explicit UserDatabase(std::filesystem::path passwd = "/etc/passwd", std::filesystem::path group = "/etc/group");

  std::optional<UserEntry> find_user(UserId uid) const;
  std::optional<UserEntry> find_user(std::string_view name) const;  // by name only, also if it looks like a number
  std::vector<UserEntry> users() const;                             // all of them
  std::optional<GroupEntry> find_group(std::string_view name) const;
  // The groups that name `user` as a member, in the file's order, each once.
  std::vector<UserId> groups_with_member(std::string_view user) const;

 private:
  std::filesystem::path passwd_;
  std::filesystem::path group_;
};

// A decimal id within 0 … largest_user_id; nothing else.
std::optional<UserId> parse_user_id(std::string_view text);

}  // namespace dstack::os
