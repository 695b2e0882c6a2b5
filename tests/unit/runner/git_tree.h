#pragma once

#include <filesystem>
#include <stdexcept>
#include <string>
#include <vector>

#include "common/os/command.h"
#include "tests/support/temporary_directory.h"

namespace dstack::test {

// Two folders that git tells apart: `before` as it was, `after` a repository whose commit is that state and whose files
// are the changed ones.
class GitTree {
 public:
  explicit GitTree(const std::string& make) {
    std::filesystem::create_directory(after());
    git({"init", "-q"});
    shell(make);
    git({"add", "-A"});
    git({"commit", "-q", "--allow-empty", "-m", "before"});
    copy(after(), before());
  }

  void change(const std::string& script) const {
    shell(script);
    git({"add", "-A"});
    // Empty folders, which git knows nothing of.
    git({"clean", "-ffdq"});
  }

  std::string diff(const std::vector<std::string>& options) const {
    std::vector<std::string> arguments = {"diff", "--cached", "--binary"};
    arguments.insert(arguments.end(), options.begin(), options.end());
    arguments.push_back("HEAD");
    return git(arguments);
  }

  // A folder as it was before, to be changed.
  std::filesystem::path fresh() {
    const std::filesystem::path folder = folder_ / ("fresh-" + std::to_string(++count_));
    copy(before(), folder);
    return folder;
  }

  std::filesystem::path before() const { return folder_ / "before"; }
  std::filesystem::path after() const { return folder_ / "after"; }
  std::filesystem::path scratch() const { return folder_.path(); }

  std::string git(std::vector<std::string> arguments) const {
    arguments.insert(arguments.begin(), {"git", "-C", after()});
    return run(arguments);
  }

 private:
  void shell(const std::string& script) const { run({"sh", "-ec", "cd \"$0\"\n" + script, after()}); }

  static std::string run(const std::vector<std::string>& arguments) {
    // Nobody's own configuration, and no signing, hooks or advice.
    const os::CommandResult result = os::run_command(
        {.arguments = arguments,
         .environment = {{"PATH=/usr/bin:/bin", "HOME=/nonexistent", "GIT_CONFIG_NOSYSTEM=1", "GIT_AUTHOR_NAME=x",
                          "GIT_AUTHOR_EMAIL=x@x", "GIT_COMMITTER_NAME=x", "GIT_COMMITTER_EMAIL=x@x"}},
         .limit = std::chrono::seconds(60),
         .output_limit = std::size_t{1} << 30});
    if (!result.succeeded()) throw std::runtime_error(arguments[0] + ": " + result.describe());
    return result.output;
  }

  // But for git's own folder.
  static void copy(const std::filesystem::path& from, const std::filesystem::path& to) {
    std::filesystem::create_directory(to);
    for (const auto& entry : std::filesystem::directory_iterator(from)) {
      if (entry.path().filename() == ".git") continue;
      std::filesystem::copy(entry.path(), to / entry.path().filename(),
                            std::filesystem::copy_options::recursive | std::filesystem::copy_options::copy_symlinks);
    }
  }

  TemporaryDirectory folder_;
  int count_ = 0;
};

}  // namespace dstack::test
