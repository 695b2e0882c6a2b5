#pragma once

#include <git2.h>

#include <memory>
#include <string>
#include <string_view>

namespace dstack::runner::repo {

// libgit2's objects, each with the function that frees it.
template <auto Free>
struct GitFree {
  template <typename T>
  void operator()(T* object) const {
    Free(object);
  }
};
template <typename T, auto Free>
using GitPointer = std::unique_ptr<T, GitFree<Free>>;

using Repository = GitPointer<git_repository, git_repository_free>;
using Remote = GitPointer<git_remote, git_remote_free>;
using Reference = GitPointer<git_reference, git_reference_free>;
using Object = GitPointer<git_object, git_object_free>;
using Config = GitPointer<git_config, git_config_free>;
using SubmodulePointer = GitPointer<git_submodule, git_submodule_free>;
using FilterList = GitPointer<git_filter_list, git_filter_list_free>;

// The library while it is needed: before and after, it takes no memory. Set up so that a server that falls silent is an
// error, the image's owner of a folder does not matter, and TLS trusts whom the image trusts (certificates.h).
class GitLibrary {
 public:
  GitLibrary();
  GitLibrary(const GitLibrary&) = delete;
  GitLibrary& operator=(const GitLibrary&) = delete;
  ~GitLibrary();
};

// Throws Error with what was tried and the library's reason if the result of one of its functions is a failure.
void check(int result, std::string_view action);

// A pointer that a function of the library fills: make<Remote>("…", [&](git_remote** out) { return …; }).
template <typename Pointer, typename Make>
Pointer make(std::string_view action, Make function) {
  typename Pointer::pointer object = nullptr;
  check(function(&object), action);
  return Pointer(object);
}

}  // namespace dstack::runner::repo
