#pragma once

#include <optional>
#include <string>

namespace dstack::shim::client {

// Whether there is a person to ask: stdin is a terminal.
bool has_terminal();

enum class Echo { on, off };

// Asks on stderr and reads a line of the terminal at stdin, without blanks at its ends. Nothing at the end of input.
// With Echo::off what is typed is not shown; a signal that ends the process restores the terminal first. Throws Error.
std::optional<std::string> ask(const std::string& question, Echo echo = Echo::on);

// Asks until the answer is yes or no; an empty one and the end of input are no.
bool ask_yes_or_no(const std::string& question);

}  // namespace dstack::shim::client
