#pragma once

#include <filesystem>
#include <functional>
#include <optional>
#include <string>

#include "common/files/tree.h"
#include "common/os/clock.h"
#include "common/secret.h"
#include "runner/repo/apply.h"

namespace dstack::runner::repo {

struct CloneRequest {
  std::string url;     // https:// or ssh://, or ssh's short form
  std::string branch;  // empty: the remote's own
  std::string hash;    // empty: the branch's head
  bool single_branch = false;
  std::optional<Secret> token;
  std::optional<Secret> private_key;
  std::string user_name;  // for the clone's configuration; empty: none
  std::string user_email;
};

// Clones with all submodules into a folder that holds nothing that a repository holds, and checks out; no other program
// takes part. What is made belongs to `owner`. Progress goes to the log. Throws Error.
void clone(const CloneRequest& request, const std::filesystem::path& folder, const std::optional<files::Owner>& owner,
           const std::function<bool()>& stopped, os::Clock& clock = os::system_clock());

// Applies the diff in the file `diff` to the clone, with the conversions that its attributes ask for.
void apply_to_clone(const std::filesystem::path& diff, const std::filesystem::path& folder,
                    const std::optional<files::Owner>& owner);

}  // namespace dstack::runner::repo
