#include "tests/support/fake_tools.h"

#include <sys/stat.h>

#include <algorithm>
#include <cstdlib>
#include <format>
#include <fstream>
#include <iterator>

#include "common/os/file.h"

namespace dstack::test {

FakeTools::FakeTools() {
  std::filesystem::create_directory(state());
  std::filesystem::create_directory(folder_ / "bin");
  if (const char* path = std::getenv("PATH")) former_path_ = path;
  ::setenv("PATH", ((folder_ / "bin").string() + ":" + former_path_).c_str(), 1);
}

FakeTools::~FakeTools() { ::setenv("PATH", former_path_.c_str(), 1); }

void FakeTools::hide_all_others() { ::setenv("PATH", (folder_ / "bin").c_str(), 1); }

void FakeTools::add(std::string_view name, std::string_view script) {
  const std::filesystem::path file = folder_ / "bin" / name;
  // Written beside and renamed, so that a test may replace a tool that is being started.
  const std::filesystem::path fresh = file.string() + ".new";
  {
    std::ofstream out(fresh);
    out << std::format("#!/bin/sh\nPATH='{}'\nSTATE='{}'\necho \"$*\" >> \"$STATE/{}.calls\"\n{}\n", former_path_,
                       state().string(), name, script);
  }
  ::chmod(fresh.c_str(), 0755);
  std::filesystem::rename(fresh, file);
}

void FakeTools::prints(std::string_view name, std::string_view output, int exit_status) {
  const std::filesystem::path file = state() / std::format("{}.output", name);
  std::ofstream(file) << output;
  add(name, std::format("cat '{}'\nexit {}", file.string(), exit_status));
}

int FakeTools::calls(std::string_view name) const {
  const auto text = os::try_read_file(state() / std::format("{}.calls", name));
  return text ? static_cast<int>(std::ranges::count(*text, '\n')) : 0;
}

std::string FakeTools::last_arguments(std::string_view name) const {
  std::string text = os::try_read_file(state() / std::format("{}.calls", name)).value_or("");
  if (!text.empty()) text.pop_back();
  return text.substr(text.rfind('\n') + 1);
}

}  // namespace dstack::test
