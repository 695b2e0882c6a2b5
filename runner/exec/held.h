#pragma once

#include "runner/options.h"

namespace dstack::runner::exec {

// `start --hold`: keeps the container for programs that are started in it through the API, until it is asked to stop or
// gets a signal; then ends what runs. Throws Error for what kept it from beginning.
void hold(const Options& options);

}  // namespace dstack::runner::exec
