#pragma once

#include <nlohmann/json_fwd.hpp>
#include <vector>

#include "common/server_api/types.h"

// Answers as types. Unknown fields are ignored, and so is a field of another type that can be done without. Throws
// Error (invalid) that says what is missing.
namespace dstack::server_api {

MyUser parse_my_user(const nlohmann::json& answer);
Project parse_project(const nlohmann::json& answer);
Fleet parse_fleet(const nlohmann::json& answer);
std::vector<Fleet> parse_fleets(const nlohmann::json& answer);
FleetPlan parse_fleet_plan(const nlohmann::json& answer);
std::vector<Event> parse_events(const nlohmann::json& answer);
std::vector<Run> parse_runs(const nlohmann::json& answer);

}  // namespace dstack::server_api
