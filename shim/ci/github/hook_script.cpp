#include "shim/ci/github/hook_script.h"

#include <vector>

#include "common/text/shell_words.h"

namespace dstack::shim::ci::github {

std::string hook_script(const std::filesystem::path& program, const std::filesystem::path& state,
                        const ContainerFlags& flags) {
  std::vector<std::string> command{program, "ci", "github-hook", "--state", state};
  for (std::string& argument : to_arguments(flags)) command.push_back(std::move(argument));
  std::string script = "#!/bin/bash\nexec";
  for (const std::string& word : command) script += " " + text::shell_quoted(word);
  return script + "\n";
}

}  // namespace dstack::shim::ci::github
