#pragma once

namespace dstack::os {

// Throws Error with the port's number if something listens on it.
void check_port_is_free(int port);

}  // namespace dstack::os
