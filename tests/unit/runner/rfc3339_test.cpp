#include <catch2/catch_test_macros.hpp>

#include "runner/api/rfc3339.h"

using dstack::runner::parse_rfc3339;

TEST_CASE("moments of RFC 3339 are ms since the epoch") {
  CHECK(parse_rfc3339("1970-01-01T00:00:00Z") == 0);
  CHECK(parse_rfc3339("2026-01-02T03:04:05.678901+00:00") == 1767323045678);
  CHECK(parse_rfc3339("2026-01-02T12:04:05.6+09:00") == 1767323045600);
  CHECK(parse_rfc3339("2026-01-01t21:34:05-05:30") == 1767323045000);
  CHECK(parse_rfc3339("2024-02-29T00:00:00Z") == 1709164800000);
}

TEST_CASE("what is no moment is nothing") {
  for (const char* text :
       {"", "now", "2026-01-02", "2026-01-02T03:04:05", "2026-01-02 03:04:05Z", "2026-13-02T03:04:05Z",
        "2026-02-30T03:04:05Z", "2026-01-02T24:00:00Z", "2026-01-02T03:60:00Z", "2026-01-02T03:04:05.Z",
        "2026-01-02T03:04:05+0900", "2026-01-02T03:04:05Zx", "26-01-02T03:04:05Z", "2026-01-02T03:04:05+09"}) {
    INFO(text);
    CHECK_FALSE(parse_rfc3339(text));
  }
}
