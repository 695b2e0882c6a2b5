#include "shim/dcgm/helper.h"

#include <sys/prctl.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <iostream>
#include <nlohmann/json.hpp>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "common/error.h"
#include "shim/dcgm/library.h"

namespace dstack::shim::dcgm {

namespace {

using nlohmann::json;

void die_with_parent() { ::prctl(PR_SET_PDEATHSIG, SIGKILL); }

void answer(const json& value) {
  // What a library has written need not be UTF-8.
  std::cout << value.dump(-1, ' ', false, json::error_handler_t::replace) << std::endl;
}

int serve_health(const std::string& address) {
  die_with_parent();
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

int become(std::span<const char* const> arguments) {
  die_with_parent();
  std::vector<std::string> texts(arguments.begin(), arguments.end());
  std::vector<char*> pointers;
  for (std::string& text : texts) pointers.push_back(text.data());
  pointers.push_back(nullptr);
  ::execvp(pointers[0], pointers.data());
  std::cerr << "run " << texts[0] << ": " << describe_errno(errno) << "\n";
  constexpr int not_found = 127;
  return not_found;
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
  if (command == with_parent_command && arguments.size() > 1) return become(arguments.subspan(1));
  return std::nullopt;
}

}  // namespace dstack::shim::dcgm
