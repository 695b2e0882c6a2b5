#pragma once

#include <filesystem>
#include <string>
#include <string_view>

#include "tests/support/temporary_directory.h"

namespace dstack::test {

// Programs that stand in for the system's: as long as this lives they are found first on PATH. PATH is the process's,
// so only one of these at a time, and before there are threads.
class FakeTools {
 public:
  FakeTools();
  FakeTools(const FakeTools&) = delete;
  FakeTools& operator=(const FakeTools&) = delete;
  ~FakeTools();

  // A shell script of this name. What it wants to keep it may write to "$STATE", a folder of its own.
  void add(std::string_view name, std::string_view script);
  // One that prints this and succeeds.
  void prints(std::string_view name, std::string_view output, int exit_status = 0);
  // Nothing but these is on PATH.
  void hide_all_others();

  std::filesystem::path state() const { return folder_ / "state"; }
  // How often the script of this name has begun.
  int calls(std::string_view name) const;
  // The arguments of its last call, with blanks between them.
  std::string last_arguments(std::string_view name) const;

 private:
  TemporaryDirectory folder_;
  std::string former_path_;
};

}  // namespace dstack::test
