#include "common/os/proc_net.h"

#include <catch2/catch_test_macros.hpp>

using namespace dstack::os;

TEST_CASE("sockets are read from the kernel's table of them") {
  const auto entries = parse_proc_net_tcp(
      "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"
      "   0: 0100007F:2726 0200007F:C001 01 00000000:00000000 00:00000000 00000000     0        0 77 1 ffff 100 0\n"
      "   1: 00000000000000000000000000000000:0016 00000000000000000000000000000000:0000 0A "
      "00000000:00000000 00:00000000 00000000     0        0 78 1\n"
      "nonsense\n"
      "0: 0100007F:12726 0200007F:C001 01 00000000:00000000 00:00000000 00000000     0        0 77 1\n"
      "2: x:y z 01 a b c d e 79\n"
      "3: 0100007F:2726 0200007F:C001 01");
  REQUIRE(entries.size() == 2);
  CHECK(entries[0].local == "0100007F:2726");
  CHECK(entries[0].local_address() == "0100007F");
  CHECK(entries[0].local_port == 10022);
  CHECK(entries[0].remote == "0200007F:C001");
  CHECK(entries[0].inode == "77");
  CHECK(entries[0].is_established());
  CHECK_FALSE(entries[0].is_listening());
  CHECK(entries[1].is_listening());
  CHECK(entries[1].local_port == 22);
}

TEST_CASE("an end of a connection has the name that the kernel's tables have it by") {
  using Names = std::vector<std::string>;
  CHECK(proc_net_names({.address = "127.0.0.1", .port = 10022}) ==
        Names{"0100007F:2726", "0000000000000000FFFF00000100007F:2726"});
  CHECK(proc_net_names({.address = "::1", .port = 22}) == Names{"00000000000000000000000001000000:0016"});
  CHECK(proc_net_names({.address = "localhost", .port = 22}).empty());
}
