#include "runner/repo/clone.h"
#include "runner/repo/diff_file.h"

#include <spdlog/spdlog.h>

#include <array>
#include <format>

#include "common/error.h"
#include "common/files/file_identity.h"
#include "common/os/file.h"
#include "runner/repo/access.h"
#include "runner/repo/git.h"
#include "runner/repo/submodules.h"
#include "runner/repo/url.h"

namespace dstack::runner::repo {

namespace {

constexpr const char* kRemoteName = "origin";

Url expect_address(const CloneRequest& request) {
  auto url = parse_url(request.url);
  const std::string shown = printable(without_secrets(request.url));
  if (!url) throw Error(ErrorKind::invalid, std::format("{} is not a remote URL", shown));
  if (url->scheme == "ssh") {
    if (!request.private_key) throw Error(ErrorKind::invalid, std::format("no private key for {}", shown));
  } else if (url->scheme != "https") {
    throw Error(ErrorKind::invalid, std::format("{}: only https and ssh are supported", shown));
  }
  return *std::move(url);
}

class Clone {
 public:
  Clone(const CloneRequest& request, const std::filesystem::path& folder, const std::function<bool()>& stopped,
        os::Clock& clock)
      : request_(request),
        url_(expect_address(request)),
        shown_url_(printable(without_secrets(request.url))),
        access_(url_, request.token, request.private_key, stopped, clock),
        repository_(make<Repository>("make a repository in " + folder.string(), [&](git_repository** out) {
          git_repository_init_options options = GIT_REPOSITORY_INIT_OPTIONS_INIT;
          options.flags = GIT_REPOSITORY_INIT_NO_REINIT;
          return git_repository_init_ext(out, folder.c_str(), &options);
        })) {}

  void run() {
    configure();
    spdlog::info("Cloning {}", shown_url_);
    fetch();
    if (branch_.empty() && request_.hash.empty()) {
      spdlog::warn("{} is empty", shown_url_);
      return;
    }
    check_out();
    update_submodules(repository_.get(), request_.url, access_);
  }

 private:
  void configure() {
    const auto config = make<Config>("read the configuration",
                                     [&](git_config** out) { return git_repository_config(out, repository_.get()); });
    const auto set = [&](const char* name, const std::string& value) {
      if (!value.empty()) check(git_config_set_string(config.get(), name, value.c_str()), "write the configuration");
    };
    git_buf proxy = GIT_BUF_INIT;
    if (git_config_get_string_buf(&proxy, config.get(), "http.proxy") == 0) {
      access_.use_configured_proxy(std::string(proxy.ptr, proxy.size));
    }
    git_buf_dispose(&proxy);
    set("user.name", request_.user_name);
    set("user.email", request_.user_email);
  }

  // ssh without a user in the address asks for git's.
  std::string address() const {
    if (url_.scheme != "ssh" || !url_.user.empty()) return request_.url;
    if (url_.short_form) return "git@" + request_.url;
    return "ssh://git@" + request_.url.substr(request_.url.find("://") + 3);
  }

  void fetch() {
    const auto remote = make<Remote>("add the remote", [&](git_remote** out) {
      return git_remote_create_anonymous(out, repository_.get(), address().c_str());
    });
    git_fetch_options options = access_.fetch_options(address());
    access_.begin("Clone");
    git_remote_connect_options connect = GIT_REMOTE_CONNECT_OPTIONS_INIT;
    connect.callbacks = options.callbacks;
    connect.proxy_opts = options.proxy_opts;
    connect.follow_redirects = options.follow_redirects;
    check(git_remote_connect_ext(remote.get(), GIT_DIRECTION_FETCH, &connect), "connect to " + shown_url_);
    branch_ = request_.branch.empty() ? default_branch(remote.get()) : request_.branch;
    if (branch_.empty() && request_.hash.empty()) return;

    const bool one = request_.single_branch && !branch_.empty();
    const std::string pattern = one ? branch_ : "*";
    const std::string refspec = std::format("+refs/heads/{0}:refs/remotes/{1}/{0}", pattern, kRemoteName);
    // Now that the branch is known, with the name that the job's git expects.
    check(git_remote_add_fetch(repository_.get(), kRemoteName, refspec.c_str()), "add the remote");
    const auto config = make<Config>("read the configuration",
                                     [&](git_config** out) { return git_repository_config(out, repository_.get()); });
    check(git_config_set_string(config.get(), "remote.origin.url", request_.url.c_str()), "add the remote");

    options.download_tags = one ? GIT_REMOTE_DOWNLOAD_TAGS_AUTO : GIT_REMOTE_DOWNLOAD_TAGS_ALL;
    fetch(remote.get(), refspec, options);
    // A commit that no branch leads to any more: many servers hand it over if it is asked for.
    if (!request_.hash.empty() && !has_commit()) fetch(remote.get(), request_.hash, options);
    git_remote_disconnect(remote.get());
  }

  void fetch(git_remote* remote, std::string refspec, const git_fetch_options& options) {
    access_.begin("Clone");
    std::array<char*, 1> refspecs = {refspec.data()};
    const git_strarray list{.strings = refspecs.data(), .count = refspecs.size()};
    check(git_remote_fetch(remote, &list, &options, nullptr), "fetch from " + shown_url_);
  }

  // The name without refs/heads/; empty for a remote without a branch.
  static std::string default_branch(git_remote* remote) {
    git_buf name = GIT_BUF_INIT;
    const int result = git_remote_default_branch(&name, remote);
    const std::string branch = result == 0 && name.ptr != nullptr ? name.ptr : "";
    git_buf_dispose(&name);
    if (result != GIT_ENOTFOUND) check(result, "find the remote's branch");
    constexpr std::string_view prefix = "refs/heads/";
    return branch.starts_with(prefix) ? branch.substr(prefix.size()) : "";
  }

  git_oid hash() const {
    git_oid id;
    check(git_oid_fromstr(&id, request_.hash.c_str()), std::format("read the hash {}", printable(request_.hash)));
    return id;
  }

  bool has_commit() const {
    const git_oid id = hash();
    git_object* object = nullptr;
    const int result = git_object_lookup(&object, repository_.get(), &id, GIT_OBJECT_COMMIT);
    git_object_free(object);
    return result == 0;
  }

  Object commit(const git_oid& id, std::string_view what) const {
    return make<Object>(std::format("find {}", what), [&](git_object** out) {
      return git_object_lookup(out, repository_.get(), &id, GIT_OBJECT_COMMIT);
    });
  }

  void check_out() {
    access_.begin("Checkout");
    const std::string local = "refs/heads/" + branch_;
    git_oid head{};
    bool at_head = false;
    if (!branch_.empty()) {
      const std::string tracked = std::format("refs/remotes/{}/{}", kRemoteName, branch_);
      if (git_reference_name_to_id(&head, repository_.get(), tracked.c_str()) != 0) {
        throw Error(ErrorKind::not_found, std::format("{} has no branch {}", shown_url_, printable(branch_)));
      }
      make_branch(local, head);
      at_head = request_.hash.empty() || git_oid_streq(&head, request_.hash.c_str()) == 0;
    }
    const git_oid wanted = at_head ? head : hash();
    const Object target =
        commit(wanted, at_head ? "branch " + printable(branch_) : "commit " + printable(request_.hash));
    const git_checkout_options options = access_.checkout_options();
    check(git_checkout_tree(repository_.get(), target.get(), &options), "check out");
    check(at_head ? git_repository_set_head(repository_.get(), local.c_str())
                  : git_repository_set_head_detached(repository_.get(), &wanted),
          "set HEAD");
    std::array<char, GIT_OID_SHA1_HEXSIZE + 1> text{};
    git_oid_tostr(text.data(), text.size(), &wanted);
    spdlog::info("Checked out {}{}", text.data(), at_head ? " of " + printable(branch_) : "");
  }

  // As git clone leaves it: the branch follows the remote's.
  void make_branch(const std::string& local, const git_oid& head) {
    make<Reference>("make the branch " + printable(branch_), [&](git_reference** out) {
      return git_reference_create(out, repository_.get(), local.c_str(), &head, 1, "clone");
    });
    const auto config = make<Config>("read the configuration",
                                     [&](git_config** out) { return git_repository_config(out, repository_.get()); });
    const std::string section = "branch." + branch_;
    // A name that the configuration cannot express is no reason to fail.
    git_config_set_string(config.get(), (section + ".remote").c_str(), kRemoteName);
    git_config_set_string(config.get(), (section + ".merge").c_str(), local.c_str());
  }

  const CloneRequest& request_;
  const Url url_;
  const std::string shown_url_;
  Access access_;
  const Repository repository_;
  std::string branch_;
};

Filters filters_of(git_repository* repository) {
  const auto convert = [repository](const std::string& path, std::string_view content,
                                    git_filter_mode_t mode) -> std::optional<std::string> {
    const auto filters = make<FilterList>("find what converts " + printable(path), [&](git_filter_list** out) {
      return git_filter_list_load(out, repository, nullptr, path.c_str(), mode, GIT_FILTER_ALLOW_UNSAFE);
    });
    if (!filters) return std::nullopt;
    git_buf converted = GIT_BUF_INIT;
    const int result = git_filter_list_apply_to_buffer(&converted, filters.get(), content.data(), content.size());
    std::string text(converted.ptr == nullptr ? "" : converted.ptr, converted.size);
    git_buf_dispose(&converted);
    check(result, "convert " + printable(path));
    return text;
  };
  return {.to_repository = [convert](const std::string& path,
                                     std::string_view content) { return convert(path, content, GIT_FILTER_TO_ODB); },
          .to_folder = [convert](const std::string& path,
                                 std::string_view content) { return convert(path, content, GIT_FILTER_TO_WORKTREE); }};
}

}  // namespace

void clone(const CloneRequest& request, const std::filesystem::path& folder, const std::optional<files::Owner>& owner,
           const std::function<bool()>& stopped, os::Clock& clock) {
  const GitLibrary library;
  const files::FileIdentity identity(owner);
  Clone(request, folder, stopped, clock).run();
}

void apply_to_clone(const std::filesystem::path& diff, const std::filesystem::path& folder,
                    const std::optional<files::Owner>& owner) {
  const GitLibrary library;
  const auto repository = make<Repository>("open the repository", [&](git_repository** out) {
    return git_repository_open_ext(out, folder.c_str(), GIT_REPOSITORY_OPEN_NO_SEARCH, nullptr);
  });
  files::Tree tree(folder, owner);
  read_diff(diff, diff.parent_path(), [&](std::string_view text) {
    spdlog::info("Applying a diff of {} bytes", text.size());
    apply_diff(text, tree, diff.parent_path(), filters_of(repository.get()));
  });
}

}  // namespace dstack::runner::repo
