#pragma once

#include <string>
#include <vector>

namespace CLI {
class App;
}

namespace dstack::shim::client {

// --env, -e: K=V, or K for the variable of this process. May be given several times.
void add_environment_option(CLI::App& command, std::vector<std::string>& environment);

// K=V of each; a K that this process does not have is left out, as docker does. A later one wins over an earlier one of
// the same name.
std::vector<std::string> resolved(const std::vector<std::string>& environment);

// The lines of a file as docker's --env-file: K=V or K; blank lines and those that begin with # are left out, values
// are taken as they are. Throws Error that names the file and the line.
std::vector<std::string> read_environment_file(const std::string& path);

}  // namespace dstack::shim::client
