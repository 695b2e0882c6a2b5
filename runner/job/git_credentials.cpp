#include "runner/job/git_credentials.h"

#include <spdlog/spdlog.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <format>

#include "common/error.h"
#include "runner/job/paths.h"
#include "runner/job/ssh_folder.h"
#include "runner/repo/url.h"

namespace dstack::runner::job {

namespace {

bool is_there(const std::filesystem::path& path) {
  struct stat status{};
  if (::lstat(path.c_str(), &status) == 0) return true;
  if (errno != ENOENT && errno != ENOTDIR) throw os_error("look at", path.string());
  return false;
}

// In YAML's double quotes.
std::string quoted(const std::string& text) {
  std::string result = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') result += '\\';
    if (static_cast<unsigned char>(c) < 0x20) {
      result += std::format("\\x{:02x}", c);
    } else {
      result += c;
    }
  }
  return result + '"';
}

}  // namespace

GitCredentials::GitCredentials(const Submission& submission, const JobUser& user) : user_(user) {
  if (!submission.repo_credentials) return;
  const WriteAccess access(user.home, user);
  const RepoCredentials& credentials = *submission.repo_credentials;
  const auto url = repo::parse_url(credentials.clone_url);
  std::filesystem::path path;
  std::string content;
  if (url && url->scheme == "https" && credentials.oauth_token) {
    path = user.home / ".config" / "gh" / "hosts.yml";
    content = std::format("{}:\n  oauth_token: {}\n", url->host, quoted(credentials.oauth_token->reveal()));
  } else if (url && url->scheme == "ssh" && credentials.private_key) {
    path = user.home / ".ssh" / "id_rsa";
    content = credentials.private_key->reveal();
    if (!content.ends_with('\n')) content += '\n';
  } else {
    return;
  }
  if (is_there(path)) {
    spdlog::info("{} already exists: the repo's credentials are not written", printable(path.native()));
    return;
  }
  if (url->scheme == "ssh") {
    prepare_ssh_folder(user);
  } else {
    make_folders_for(user.home, user, 0755);
    make_folders_for(path.parent_path(), user, 0700);
  }
  write_file_for(path, content, user, 0600);
  written_ = path;
}

GitCredentials::~GitCredentials() {
  if (!written_) return;
  std::optional<WriteAccess> access;
  try {
    access.emplace(written_->parent_path(), user_);
  } catch (const std::exception& error) {
    spdlog::warn("Removing the repo's credentials: {}", error.what());
  }
  if (::unlink(written_->c_str()) != 0 && errno != ENOENT) {
    spdlog::warn("The repo's credentials are still there: remove {}: {}", printable(written_->native()),
                 describe_errno(errno));
  }
}

}  // namespace dstack::runner::job
