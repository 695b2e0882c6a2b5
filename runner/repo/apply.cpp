#include "runner/repo/apply.h"

#include <fcntl.h>
#include <spdlog/spdlog.h>
#include <sys/stat.h>
#include <unistd.h>

#include <format>
#include <map>
#include <optional>
#include <set>
#include <vector>

#include "common/error.h"
#include "common/files/entry_path.h"
#include "common/os/file.h"
#include "common/text/trim.h"
#include "runner/repo/binary_patch.h"
#include "runner/repo/diff.h"
#include "runner/repo/hunks.h"
#include "runner/repo/spool.h"

namespace dstack::runner::repo {

namespace {

using Change = FileDiff::Change;

constexpr mode_t kProgramMode = 0100755;
constexpr mode_t kFileMode = 0100644;

bool is_link(mode_t mode) { return (mode & S_IFMT) == S_IFLNK; }

// A file, or a link, as it was or is to be.
struct Old {
  mode_t mode = 0;
  std::string content;
};
struct New {
  mode_t mode = 0;
  Spool::Range content;
};

class Applier {
 public:
  Applier(files::Tree& tree, const std::filesystem::path& scratch, const Filters& filters)
      : tree_(tree), filters_(filters), spool_(scratch) {}

  // All is read and worked out before anything is written: each file's diff speaks of the state before all of them.
  void run(const std::vector<FileDiff>& files) {
    for (const FileDiff& file : files) {
      try {
        prepare(file);
      } catch (const Error& error) {
        const std::string& path = file.change == Change::remove ? file.old_path : file.new_path;
        throw Error(error.kind(), std::format("{}: {}", printable(path), error.what()));
      }
    }
    for (const std::string& path : created_) expect_free(path);
    for (const std::string& path : removed_) tree_.remove_file(path);
    for (const auto& [path, file] : new_) write(path, file);
    tree_.finish();
  }

 private:
  void prepare(const FileDiff& file) {
    const mode_t mode = file.new_mode.value_or(file.old_mode.value_or(0));
    if (mode == kSubmoduleMode || file.old_mode == kSubmoduleMode) {
      spdlog::warn("The diff changes the submodule {}: this change is skipped", printable(file.new_path));
      return;
    }
    if (file.content_left_out) {
      throw Error(ErrorKind::invalid, "its binary content is not in the diff: make the diff with --binary");
    }
    const Old old = file.change == Change::create ? Old{} : read_old(file);
    if (file.change == Change::remove || file.change == Change::rename) removed_.insert(file.old_path);
    const New made = make_new(file, old);
    if (file.change == Change::remove) {
      if (made.content.size > 0) throw Error(ErrorKind::conflict, "it has more content than the diff removes");
      return;
    }
    if (!new_.emplace(file.new_path, made).second) throw Error(ErrorKind::invalid, "the diff changes it twice");
    if (file.change == Change::create) created_.insert(file.new_path);
  }

  Old read_old(const FileDiff& file) {
    const auto status = tree_.look(file.old_path);
    if (!status) throw Error(ErrorKind::conflict, std::format("{} is not there", printable(file.old_path)));
    Old old;
    if (S_ISLNK(status->st_mode)) {
      old = {.mode = kLinkMode, .content = tree_.read_link(file.old_path)};
    } else {
      old.mode = (status->st_mode & S_IXUSR) != 0 ? kProgramMode : kFileMode;
      old.content = read_all(file.old_path);
      if (filters_.to_repository) {
        if (auto content = filters_.to_repository(file.old_path, old.content)) old.content = *std::move(content);
      }
    }
    if (file.old_mode && is_link(*file.old_mode) != is_link(old.mode)) {
      throw Error(ErrorKind::conflict,
                  std::format("{} is {} symbolic link, in the diff it is {}", printable(file.old_path),
                              is_link(old.mode) ? "a" : "no", is_link(old.mode) ? "none" : "one"));
    }
    return old;
  }

  std::string read_all(const std::string& path) {
    const os::UniqueFd file = tree_.open_file(path);
    struct stat status{};
    if (::fstat(file.get(), &status) != 0) throw os_error("look at", printable(path));
    std::string content(static_cast<std::size_t>(status.st_size), '\0');
    std::size_t size = 0;
    while (size < content.size()) {
      const ssize_t count = ::read(file.get(), content.data() + size, content.size() - size);
      if (count < 0 && errno == EINTR) continue;
      if (count < 0) throw os_error("read", printable(path));
      if (count == 0) break;
      size += static_cast<std::size_t>(count);
    }
    content.resize(size);
    return content;
  }

  New make_new(const FileDiff& file, const Old& old) {
    std::uint64_t start = spool_.end();
    const auto keep = [this](std::string_view piece) { spool_.append(piece); };
    if (file.binary) {
      // A delta waits in the spool too, before the content.
      std::uint64_t size = 0;
      apply_binary(old.content, *file.binary, spool_, [&](std::string_view piece) {
        keep(piece);
        size += piece.size();
      });
      start = spool_.end() - size;
    } else {
      apply_hunks(old.content, file.hunks, keep);
    }
    return {.mode = file.new_mode.value_or(old.mode == 0 ? kFileMode : old.mode), .content = spool_.since(start)};
  }

  // What the diff makes must not be there, unless the diff removes it. (A copy may well replace a file: git diff -B.)
  void expect_free(const std::string& path) {
    for (std::string_view part = path; !part.empty(); part = files::folder_of(part)) {
      if (removed_.contains(std::string(part))) return;
    }
    const auto status = tree_.look(path);
    // An empty folder is no file for git.
    if (!status || S_ISDIR(status->st_mode)) return;
    throw Error(ErrorKind::conflict, std::format("{}: the diff creates it, but it already exists", printable(path)));
  }

  void write(const std::string& path, const New& file) {
    spool_.read(file.content, [&](std::string_view content) {
      if (is_link(file.mode)) {
        if (content.empty() || content.contains('\0')) {
          throw Error(ErrorKind::invalid, std::format("{} is a symbolic link without a target", printable(path)));
        }
        tree_.make_link(path, std::string(content));
        return;
      }
      files::Tree::NewFile written = tree_.make_file(path);
      std::optional<std::string> converted;
      if (filters_.to_folder) converted = filters_.to_folder(path, content);
      os::write_all(written.fd(), converted ? std::string_view(*converted) : content, printable(path));
      written.finish((file.mode & S_IXUSR) != 0 ? 0755 : 0644);
    });
  }

  files::Tree& tree_;
  const Filters& filters_;
  Spool spool_;
  std::set<std::string> removed_;
  std::set<std::string> created_;
  std::map<std::string, New> new_;
};

}  // namespace

void apply_diff(std::string_view diff, files::Tree& tree, const std::filesystem::path& scratch,
                const Filters& filters) {
  // A client may have lost the last newline on the way.
  std::string completed;
  if (!diff.empty() && !diff.ends_with('\n')) {
    completed = diff;
    completed += '\n';
    diff = completed;
  }
  const std::vector<FileDiff> files = parse_diff(diff);
  if (files.empty() && !text::trim(diff).empty()) {
    throw Error(ErrorKind::invalid,
                "the upload is not a diff: git may use another diff program, by its "
                "setting diff.external or the variable GIT_EXTERNAL_DIFF");
  }
  Applier(tree, scratch, filters).run(files);
}

}  // namespace dstack::runner::repo
