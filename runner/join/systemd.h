#pragma once

#include <string>

namespace dstack::runner::join {

// systemctl, as far as joining needs it. Throws Error with what it said.
void reload_units();
void enable_unit(const std::string& unit);
void disable_unit(const std::string& unit);
void start_unit(const std::string& unit);
void stop_unit(const std::string& unit);
void restart_unit(const std::string& unit);
bool unit_is_active(const std::string& unit);
bool unit_is_enabled(const std::string& unit);

}  // namespace dstack::runner::join
