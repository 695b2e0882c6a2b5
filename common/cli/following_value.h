#pragma once

#include <functional>
#include <string>

namespace CLI {
class Option;
}

namespace dstack::cli {

// The option of this name ("--name", "-n"); null if there is none.
using FindOption = std::function<const CLI::Option*(const std::string& name)>;

// Whether the argument after `argument`, which begins with "-", is the value of an option in it.
bool value_follows(const std::string& argument, const FindOption& find);

}  // namespace dstack::cli
