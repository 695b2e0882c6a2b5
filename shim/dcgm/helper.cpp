#include "shim/dcgm/helper.h"

#include <unistd.h>

#include <iostream>
#include <nlohmann/json.hpp>
#include <span>
#include <string>
#include <string_view>

#include "common/error.h"
#include "shim/dcgm/library.h"

namespace dstack::shim::dcgm {

namespace {

using nlohmann::json;

void answer(const json& value) {
  // What a library has written need not be UTF-8.
  std::cout << value.dump(-1, ' ', false, json::error_handler_t::replace) << std::endl;
}

int serve_health(const std::string& address) {
  try {
    Library library;
    library.start(address);
    std::string line;
    while (std::getline(std::cin, line)) {
      try {
        answer({{"health", to_json(library.check())}});
      } catch (const Error& error) {
        answer({{"error", error.what()}});
      }
    }
    return 0;
  } catch (const std::exception& error) {
    answer({{"error", error.what()}});
    return 1;
  }
}

}  // namespace

std::optional<int> run_helper(int argc, const char* const* argv) {
  if (argc < 2) return std::nullopt;
  const std::span arguments(argv + 1, static_cast<std::size_t>(argc - 1));
  const std::string_view command = arguments[0];
  if (command == health_command) {
    const int status = serve_health(arguments.size() > 1 ? arguments[1] : "");
    // Past the library's own clean-up, which may hang.
    std::cout.flush();
    ::_exit(status);
  }
  return std::nullopt;
}

}  // namespace dstack::shim::dcgm
