#pragma once

#include <sys/stat.h>
#include <sys/types.h>

#include <filesystem>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_set>

#include "common/error.h"
#include "common/files/attributes.h"
#include "common/files/folder_walk.h"
#include "common/files/owner.h"
#include "common/os/unique_fd.h"

namespace dstack::files {

class FileIdentity;

// A folder that foreign content is written into: an archive's entries, a diff's files. Paths are relative, as
// entry_path() gives them. Nothing outside of the folder is read, written, made or given away, whatever the paths are,
// whatever links lie in the folder and whatever somebody swaps in meanwhile: a path that leads through a link is an
// Error that names both. The last component is never followed; what is made takes the place of what was there, but
// never of a folder with content. Folders that a path needs are made. Owners, modes and links that the file system does
// not have are done without (see Attributes). For one thread.
class Tree {
 public:
  // `root` is trusted, links in it are followed. Without an owner what is made stays this process's own. Throws Error.
  Tree(const std::filesystem::path& root, std::optional<Owner> owner, Walk walk = best_walk());

  // A regular file of this tree that is being written; given its time, mode and owner by finish(). What is not finished
  // stays the runner's and closed to others.
  class NewFile {
   public:
    int fd() const { return fd_.get(); }
    // `mode` without set-uid and the like.
    void finish(mode_t mode, const timespec* modified = nullptr);

   private:
    friend class Tree;
    NewFile(os::UniqueFd fd, std::string path, Tree& tree) : fd_(std::move(fd)), path_(std::move(path)), tree_(&tree) {}
    os::UniqueFd fd_;
    std::string path_;
    Tree* tree_;
  };

  NewFile make_file(const std::string& path);
  // A folder that is there stays as it is, but for one that was made here since a path needed it.
  void make_folder(const std::string& path, mode_t mode);
  void make_link(const std::string& path, const std::string& target);
  // `existing` is a file of this tree; a link is linked, not followed. Where there are no hard links it is a copy.
  void make_hard_link(const std::string& path, const std::string& existing);

  // Gives what is at `path` itself, a link too, to another owner; a file system without owners is fine.
  void give(const std::string& path, const Owner& owner);

  // lstat(2); nothing where there is nothing, or where a component of its folder is missing.
  std::optional<struct stat> look(const std::string& path);
  // A regular file; anything else is an Error.
  os::UniqueFd open_file(const std::string& path);
  std::string read_link(const std::string& path);
  // unlink(2), then rmdir(2) of each folder above it that is empty by that, the root excepted.
  void remove_file(const std::string& path);
  // Everything at and below `path`; nothing there is fine.
  void remove_tree(const std::string& path);
  // True if it was there and empty.
  bool remove_empty_folder(const std::string& path);

  // To be called when all is made: gives folders away whose owner could not be changed before they were filled.
  void finish();

 private:
  // The folder that holds `path`, kept until another one is asked for: neighbours come one after the other.
  int folder_for(const std::string& path, bool make_missing);
  os::UniqueFd make_folders(const std::string& path);
  void settle_folder(int parent, const std::string& name, const std::string& path, mode_t mode);
  void clear_place(int folder, const std::string& name, const std::string& path);
  void copy(const std::string& path, const std::string& existing);
  Error failure(std::string_view action, const std::string& path, int code);
  // While it lives this thread writes as whoever may write here.
  FileIdentity act() const;

  const std::optional<Owner> owner_;
  const Walk walk_;
  // Without DAC_OVERRIDE nothing can be put into a folder that is another user's or closed. New folders are given their
  // owner and mode by finish() then. What is the owner's already is written in the owner's name.
  const bool may_override_;
  os::UniqueFd root_;
  const bool write_as_owner_;
  Attributes attributes_;
  std::map<std::string, mode_t> unsettled_;  // by path
  // Folders that were made as a path needed them, for the case that an archive lists them later.
  std::unordered_set<std::string> needed_;
  os::UniqueFd folder_;
  std::optional<std::string> folder_path_;
};

}  // namespace dstack::files
