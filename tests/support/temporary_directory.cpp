#include "tests/support/temporary_directory.h"

#include <cstdlib>
#include <string>

#include "common/error.h"

namespace dstack::test {

TemporaryDirectory::TemporaryDirectory() {
  std::string name = (std::filesystem::temp_directory_path() / "dstack-test-XXXXXX").string();
  if (::mkdtemp(name.data()) == nullptr) throw os_error("create a folder like", name);
  path_ = name;
}

TemporaryDirectory::~TemporaryDirectory() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

}  // namespace dstack::test
