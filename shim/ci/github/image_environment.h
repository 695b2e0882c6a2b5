#pragma once

#include <map>
#include <string>

#include "shim/client/task_details.h"

namespace dstack::shim::ci::github {

// A variable as a container has it: what was asked for, else the image's; "" if neither has it.
std::string variable_in(const std::map<std::string, std::string>& asked, const client::TaskDetails& container,
                        const std::string& name);

// `folders` before a PATH; where that is empty, before the usual folders: an entry without a name would be the working
// folder.
std::string prepend_path(const std::vector<std::string>& folders, const std::string& path);

}  // namespace dstack::shim::ci::github
