#pragma once

#include <string_view>

namespace dstack::shim::client {

// Writes an answer to stdout, or to `fd`. False if nobody reads it any more (a pipe that was closed), which is no
// failure; anything else that keeps it from being written is an Error. cli::execute() has SIGPIPE ignored, which would
// end the process first.
bool write_answer(std::string_view text, int fd = 1);

}  // namespace dstack::shim::client
