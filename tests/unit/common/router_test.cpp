#include "common/http/router.h"

#include <catch2/catch_test_macros.hpp>

using dstack::http::Router;

TEST_CASE("a path is matched segment by segment and its parameters are taken out") {
  Router router;
  const auto list = router.add("GET", "/api/tasks");
  const auto one = router.add("GET", "/api/tasks/{id}");
  const auto remove = router.add("POST", "/api/tasks/{id}/remove");
  CHECK(router.find("GET", "/api/tasks").match->route == list);
  CHECK(router.find("GET", "/api/tasks/x").match->route == one);
  CHECK(router.find("GET", "/api/tasks/x").match->parameters.at("id") == "x");
  CHECK(router.find("POST", "/api/tasks/x/remove").match->route == remove);
}

TEST_CASE("an unknown path and a wrong method are told apart") {
  Router router;
  router.add("GET", "/api/tasks");
  router.add("POST", "/api/tasks");
  CHECK(router.find("GET", "/api/nothing").miss == Router::Miss::unknown_path);
  CHECK(router.find("GET", "/api/tasks/").miss == Router::Miss::unknown_path);
  const auto result = router.find("DELETE", "/api/tasks");
  CHECK(result.miss == Router::Miss::wrong_method);
  CHECK(result.allowed == "GET, POST");
}

TEST_CASE("a parameter is never empty") {
  Router router;
  router.add("GET", "/api/tasks/{id}");
  CHECK_FALSE(router.find("GET", "/api/tasks/").match);
}

TEST_CASE("HEAD goes where GET goes") {
  Router router;
  router.add("GET", "/a");
  CHECK(router.find("HEAD", "/a").match);
}
