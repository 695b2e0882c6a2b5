#include "common/log/log.h"

#include <catch2/catch_test_macros.hpp>

using namespace dstack;

TEST_CASE("log levels are known by name in any letter case") {
  CHECK(log::parse_level("fatal") == spdlog::level::critical);
  CHECK(log::parse_level("ERROR") == spdlog::level::err);
  CHECK(log::parse_level("Warn") == spdlog::level::warn);
  CHECK(log::parse_level("warning") == spdlog::level::warn);
  CHECK(log::parse_level("info") == spdlog::level::info);
  CHECK(log::parse_level("debug") == spdlog::level::debug);
  CHECK(log::parse_level("trace") == spdlog::level::trace);
}

TEST_CASE("log levels are known by one digit, 1 for fatal to 6 for trace") {
  CHECK(log::parse_level("1") == spdlog::level::critical);
  CHECK(log::parse_level("4") == spdlog::level::info);
  CHECK(log::parse_level("6") == spdlog::level::trace);
}

TEST_CASE("anything else is no log level") {
  for (const char* name : {"", "0", "7", "12", "loud", "info "}) CHECK_FALSE(log::parse_level(name));
}
