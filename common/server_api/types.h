#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "common/secret.h"

// What a dstack server answers, as far as the commands need it. Times are its own strings (ISO 8601).
namespace dstack::server_api {

struct User {
  std::string id;
  std::string name;
  std::string global_role;     // "admin", "user"
  std::string ssh_public_key;  // may be empty

  bool is_global_admin() const { return global_role == "admin"; }
};

struct MyUser {
  User user;
  Secret ssh_private_key;  // of the pair that the server made; PKCS#8
};

struct Member {
  User user;
  std::string role;  // "admin", "manager", "user"
};

// A cloud account that a project may use.
struct Backend {
  std::string name;                  // "aws"
  std::vector<std::string> regions;  // empty where the server does not say
};

struct Project {
  std::string name;
  std::vector<Backend> backends;
  std::vector<Member> members;

  // Null if the project does not have it.
  const Backend* backend(const std::string& name) const;
  bool has_member(const std::string& user_name) const;
};

struct Resources {
  std::int64_t cpus = 0;
  std::int64_t memory_mib = 0;
  std::vector<std::string> gpus;  // a name each
};

struct Instance {
  std::string id;
  std::string name;
  std::int64_t number = 0;  // within its fleet
  std::string status;       // pending provisioning idle busy terminating terminated
  bool unreachable = false;
  std::int64_t busy_blocks = 0;
  std::string hostname;  // empty until the server knows it
  std::string backend;
  std::string region;
  std::optional<double> price;
  std::optional<Resources> resources;
  std::string created;
  std::string termination_reason;
  std::string termination_message;

  bool alive() const { return status == "idle" || status == "busy"; }
  // Counts for a fleet's maximum.
  bool active() const { return alive() || status == "pending" || status == "provisioning"; }
};

struct FleetHost {
  std::string hostname;
  std::int64_t port = 0;  // 0: not said
};

struct Fleet {
  std::string id;
  std::string name;
  std::string project;
  std::string status;  // submitted active terminating terminated failed
  std::string created;
  bool over_ssh = false;
  std::vector<FleetHost> hosts;                    // of an SSH fleet
  std::map<std::string, std::string> environment;  // of its configuration
  std::map<std::string, std::string> tags;
  std::optional<std::int64_t> maximum;  // of its nodes, for a cloud fleet
  std::vector<std::string> regions;
  std::vector<std::string> instance_types;
  std::string spot_policy;
  std::optional<std::int64_t> idle_seconds;
  std::vector<Instance> instances;
};

// A machine that a fleet could get.
struct Offer {
  std::string instance_type;
  std::string region;
  std::optional<double> price;  // dollars an hour
  std::string availability;     // unknown available not_available no_quota no_balance idle busy
};

// What a fleet could get, without making it.
struct FleetPlan {
  std::vector<Offer> offers;  // the cheapest 50
  std::int64_t total_offers = 0;
};

struct Event {
  std::string id;
  std::string recorded_at;
  std::vector<std::string> targets;  // ids
  std::string message;
};

struct Run {
  std::string name;
  std::string status;
  std::string fleet;                   // empty while it has none
  std::vector<std::string> hostnames;  // of the instances that its jobs hold
  bool waits_for_host = false;         // a job of it has no instance yet whose address is known
};

}  // namespace dstack::server_api
