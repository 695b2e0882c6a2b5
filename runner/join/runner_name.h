#pragma once

#include <string>
#include <string_view>

namespace dstack::runner::join {

// What a server takes for the name of a fleet: ^[a-z][a-z0-9-]{1,40}$.
bool is_runner_name(std::string_view name);

// A host's name made to fit: lower case, other characters to "-", runs of those to one, "r-" before what does not begin
// with a letter, 41 characters at most.
std::string runner_name_of(std::string_view host_name);

// "name-2" and so on, 41 characters at most.
std::string numbered(std::string_view name, int number);

}  // namespace dstack::runner::join
