#include "runner/repo/submodules.h"

#include <spdlog/spdlog.h>

#include <format>
#include <vector>

#include "common/error.h"
#include "common/files/entry_path.h"
#include "common/files/tree.h"

namespace dstack::runner::repo {

namespace {

constexpr int kDeepest = 10;

std::vector<std::string> names_of(git_repository* repository) {
  std::vector<std::string> names;
  const auto collect = [](git_submodule*, const char* name, void* list) {
    static_cast<std::vector<std::string>*>(list)->emplace_back(name);
    return 0;
  };
  check(git_submodule_foreach(repository, collect, &names), "list the submodules");
  return names;
}

// A path through a link would be cloned outside of the repository; libgit2 does not look.
void expect_own_folder(git_repository* repository, const std::string& path) {
  files::Tree tree(git_repository_workdir(repository), std::nullopt);
  const auto status = tree.look(files::entry_path(path));
  if (status && !S_ISDIR(status->st_mode)) {
    throw Error(ErrorKind::invalid, std::format("{} is not a folder", printable(path)));
  }
}

void expect_remote(const std::string& url) {
  const auto parsed = parse_url(url);
  // A path, or file://, would be one of this machine's.
  if (!parsed || parsed->scheme == "file") {
    throw Error(ErrorKind::invalid, std::format("{} is not a remote URL", printable(without_secrets(url))));
  }
}

void update_all(git_repository* repository, const std::string& parent_url, Access& access, int depth);

void update(git_repository* repository, const std::string& name, const std::string& parent_url, Access& access,
            int depth) {
  const auto submodule = make<SubmodulePointer>("look up the submodule", [&](git_submodule** out) {
    return git_submodule_lookup(out, repository, name.c_str());
  });
  // Named in .gitmodules only, or not wanted.
  if (git_submodule_index_id(submodule.get()) == nullptr) return;
  if (git_submodule_update_strategy(submodule.get()) == GIT_SUBMODULE_UPDATE_NONE) return;
  const char* written = git_submodule_url(submodule.get());
  if (written == nullptr) throw Error(ErrorKind::invalid, "it has no url in .gitmodules");
  const std::string url = access.reachable(resolve_submodule_url(written, parent_url));
  expect_remote(url);
  expect_own_folder(repository, git_submodule_path(submodule.get()));

  spdlog::info("Cloning the submodule {} from {}", printable(name), printable(without_secrets(url)));
  const auto config =
      make<Config>("read the configuration", [&](git_config** out) { return git_repository_config(out, repository); });
  check(git_config_set_string(config.get(), ("submodule." + name + ".url").c_str(), url.c_str()),
        "write the configuration");
  access.begin("Submodule " + printable(name));
  git_submodule_update_options options = GIT_SUBMODULE_UPDATE_OPTIONS_INIT;
  options.fetch_opts = access.fetch_options(url);
  options.checkout_opts = access.checkout_options();
  check(git_submodule_update(submodule.get(), 1, &options), std::format("clone {}", printable(without_secrets(url))));

  const auto inner = make<Repository>("open the submodule",
                                      [&](git_repository** out) { return git_submodule_open(out, submodule.get()); });
  update_all(inner.get(), url, access, depth + 1);
}

void update_all(git_repository* repository, const std::string& parent_url, Access& access, int depth) {
  for (const std::string& name : names_of(repository)) {
    if (depth >= kDeepest)
      throw Error(ErrorKind::invalid, std::format("submodules are nested more than {} deep", kDeepest));
    try {
      update(repository, name, parent_url, access, depth);
    } catch (const Error& error) {
      throw Error(error.kind(), std::format("submodule {}: {}", printable(name), error.what()));
    }
  }
}

}  // namespace

void update_submodules(git_repository* repository, const std::string& url, Access& access) {
  update_all(repository, url, access, 0);
}

}  // namespace dstack::runner::repo
