#include "common/os/user_db.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <functional>

#include "common/error.h"
#include "common/os/unique_fd.h"
#include "common/text/number.h"
#include "common/text/split.h"
#include "common/text/trim.h"

namespace dstack::os {

namespace {

// A group may have many members, so lines get long; what is beyond this of one line is passed over.
constexpr std::size_t kLineLimit = 1 << 20;

// Calls `take` for each line until it returns true.
void read_lines(const std::filesystem::path& path, const std::function<bool(std::string_view)>& take) {
  // O_NONBLOCK: an image may have a FIFO there, and opening that would wait for a writer.
  const UniqueFd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
  if (!file) {
    if (errno == ENOENT || errno == ENOTDIR) return;
    throw os_error("open", path.string());
  }
  struct stat status{};
  if (::fstat(file.get(), &status) != 0) throw os_error("look at", path.string());
  if (!S_ISREG(status.st_mode)) throw Error(ErrorKind::internal, "read " + path.string() + ": not a regular file");

  std::array<char, 65536> buffer;
  std::string rest;  // the start of a line whose end has not been read yet
  const auto add = [&rest](std::string_view piece) {
    rest.append(piece.substr(0, kLineLimit - std::min(kLineLimit, rest.size())));
  };
  while (true) {
    const ssize_t count = ::read(file.get(), buffer.data(), buffer.size());
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) throw os_error("read", path.string());
    if (count == 0) break;
    std::string_view piece(buffer.data(), static_cast<std::size_t>(count));
    for (std::size_t end = piece.find('\n'); end != std::string_view::npos; end = piece.find('\n')) {
      std::string_view line = piece.substr(0, end);
      if (!rest.empty()) {
        add(line);
        line = rest;
      }
      if (take(text::trim(line))) return;
      rest.clear();
      piece.remove_prefix(end + 1);
    }
    add(piece);
  }
  if (!rest.empty()) take(text::trim(rest));
}

// name:password:uid:gid:comment:home:shell; what follows the gid may be absent.
std::optional<UserEntry> parse_user(std::string_view line) {
  const std::string_view name = text::take_until(line, ':');
  text::take_until(line, ':');
  const auto uid = parse_user_id(text::take_until(line, ':'));
  const auto gid = parse_user_id(text::take_until(line, ':'));
  // "+name" and "-name" are orders to a name service, "#…" a comment.
  if (name.empty() || name[0] == '#' || name[0] == '+' || name[0] == '-' || !uid || !gid) return std::nullopt;
  text::take_until(line, ':');
  const std::string_view home = text::take_until(line, ':');
  return UserEntry{
      .name = std::string(name), .uid = *uid, .gid = *gid, .home = std::string(home), .shell = std::string(line)};
}

// name:password:gid:member,member; leaves the members in `line`.
std::optional<GroupEntry> parse_group(std::string_view& line) {
  const std::string_view name = text::take_until(line, ':');
  text::take_until(line, ':');
  const auto gid = parse_user_id(text::take_until(line, ':'));
  if (name.empty() || name[0] == '#' || name[0] == '+' || name[0] == '-' || !gid) return std::nullopt;
  return GroupEntry{.name = std::string(name), .gid = *gid};
}

std::optional<UserEntry> first_user(const std::filesystem::path& path,
                                    const std::function<bool(const UserEntry&)>& wanted) {
  std::optional<UserEntry> found;
  read_lines(path, [&](std::string_view line) {
    auto entry = parse_user(line);
    if (!entry || !wanted(*entry)) return false;
    found = std::move(entry);
    return true;
  });
  return found;
}

}  // namespace

UserDatabase::UserDatabase(std::filesystem::path passwd, std::filesystem::path group)
    : passwd_(std::move(passwd)), group_(std::move(group)) {}

std::optional<UserEntry> UserDatabase::find_user(UserId uid) const {
  return first_user(passwd_, [uid](const UserEntry& entry) { return entry.uid == uid; });
}

std::optional<UserEntry> UserDatabase::find_user(std::string_view name) const {
  return first_user(passwd_, [name](const UserEntry& entry) { return entry.name == name; });
}

std::vector<UserEntry> UserDatabase::users() const {
  std::vector<UserEntry> all;
  read_lines(passwd_, [&all](std::string_view line) {
    if (auto entry = parse_user(line)) all.push_back(*std::move(entry));
    return false;
  });
  return all;
}

std::optional<GroupEntry> UserDatabase::find_group(std::string_view name) const {
  std::optional<GroupEntry> found;
  read_lines(group_, [&](std::string_view line) {
    auto entry = parse_group(line);
    if (!entry || entry->name != name) return false;
    found = std::move(entry);
    return true;
  });
  return found;
}

std::vector<UserId> UserDatabase::groups_with_member(std::string_view user) const {
  std::vector<UserId> groups;
  read_lines(group_, [&](std::string_view line) {
    const auto entry = parse_group(line);
    if (!entry) return false;
    for (bool member = false; !member && !line.empty();) {
      member = text::trim(text::take_until(line, ',')) == user;
      if (member && std::ranges::find(groups, entry->gid) == groups.end()) groups.push_back(entry->gid);
    }
    return false;
  });
  return groups;
}

std::optional<UserId> parse_user_id(std::string_view text) {
  const auto id = text::parse_number<UserId>(text);
  return id && *id <= kLargestUserId ? id : std::nullopt;
}

}  // namespace dstack::os
