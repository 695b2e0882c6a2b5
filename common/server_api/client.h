#pragma once

#include <chrono>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "common/os/clock.h"
#include "common/secret.h"
#include "common/server_api/failure.h"
#include "common/server_api/types.h"

namespace dstack::http {
class Client;
struct ClientResponse;
}  // namespace dstack::http

namespace dstack::server_api {

// Which server, and as whom.
struct Account {
  std::string url;  // "http://127.0.0.1:3000", without a slash at its end
  Secret token;
  std::string project;
};

// A dstack server's REST API, seen from one project. Each call blocks, for a minute at most, and throws Failure, or
// Error (cancelled) when the stop token ends it. What the server is busy with ("… being processed currently. Try again
// later.") is asked again for 30 s. No redirect is followed. All members may be called from any thread.
class Client {
 public:
  explicit Client(Account account, os::Clock& clock = os::system_clock(), std::stop_token stop = {});
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;
  ~Client();

  const Account& account() const { return account_; }

  // "0.22.5"; empty where it says none, as a development version does.
  std::string version();
  MyUser my_user();
  Project project();
  // The name of the token's user, who is a member of it or a global admin. Throws Failure (not_member) otherwise: a
  // public project answers any user.
  std::string check_membership(const Project& project);

  std::vector<Fleet> fleets();
  // All fleets of all projects that the user sees.
  std::vector<Fleet> fleets_of_all_projects();
  std::optional<Fleet> fleet(const std::string& name);
  // `spec`: {"configuration", "profile"}.
  void apply_fleet(const nlohmann::json& spec, bool force);
  FleetPlan plan_fleet(const nlohmann::json& spec);
  void delete_fleet(const std::string& name);
  // False: a job holds it, or is about to.
  bool delete_instance(const std::string& fleet, std::int64_t number);

  // A cloud account's settings, with its keys; for admins of the project only. Nothing if there is none of that type.
  std::optional<nlohmann::json> backend_settings(const std::string& type);
  void create_backend(const nlohmann::json& settings);
  void update_backend(const nlohmann::json& settings);
  void delete_backend(const std::string& type);
  // Keeps a secret that is sent out of the messages of failures. Before any other thread calls.
  void hide(const Secret& secret) { hidden_.push_back(secret); }

  // The newest first, of up to 16 instances; a page begins after the event `before`.
  std::vector<Event> events(const std::vector<std::string>& instance_ids, const std::optional<Event>& before);

  std::vector<Run> active_runs();
  void stop_runs(const std::vector<std::string>& names, bool abort);

  // Any call, for what has no function of its own: `path` without "/api/", `doing` as in "list the fleets".
  nlohmann::json call(const std::string& path, const nlohmann::json& body, std::string_view doing);
  // The same below /api/project/P/.
  nlohmann::json call_project(const std::string& path, const nlohmann::json& body, std::string_view doing);

 private:
  http::ClientResponse exchange(const std::string& path, const std::string& body);
  nlohmann::json ask(const std::string& path, const std::string& body, std::string_view doing);
  [[noreturn]] void refuse(const std::string& path, int status, const std::string& body, std::string_view doing);
  std::string explain_denial(std::string_view doing);

  const Account account_;
  std::vector<Secret> hidden_;
  os::Clock& clock_;
  const std::stop_token stop_;
  const std::unique_ptr<http::Client> http_;
};

}  // namespace dstack::server_api
