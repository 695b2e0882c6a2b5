#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace CLI {
class App;
}

namespace dstack::cli {

// Lets the options of a command that runs another one end where that one's words begin, as docker does: puts "--"
// there, so that "exec ID ls -l" needs none. `leading` says for each such command how many arguments of its own come
// before. `arguments` are without the program's name; those of other commands are returned as they are.
std::vector<std::string> end_options(const CLI::App& app, std::vector<std::string> arguments,
                                     const std::map<std::string, int, std::less<>>& leading);

}  // namespace dstack::cli
