#include "common/log/log.h"

#include <fcntl.h>
#include <unistd.h>

#include <catch2/catch_test_macros.hpp>
#include <set>

#include "common/os/file.h"
#include "tests/support/temporary_directory.h"

using namespace dstack;

namespace {

// Standard error is nowhere, as long as this lives.
class Silence {
 public:
  Silence() : kept_(::dup(STDERR_FILENO)) { ::dup2(os::open_file("/dev/null", O_WRONLY).get(), STDERR_FILENO); }
  Silence(const Silence&) = delete;
  Silence& operator=(const Silence&) = delete;
  ~Silence() { ::dup2(kept_.get(), STDERR_FILENO); }

 private:
  os::UniqueFd kept_;
};

}  // namespace

TEST_CASE("log levels are known by name in any letter case") {
  CHECK(log::parse_level("fatal") == spdlog::level::critical);
  CHECK(log::parse_level("ERROR") == spdlog::level::err);
  CHECK(log::parse_level("Warn") == spdlog::level::warn);
  CHECK(log::parse_level("warning") == spdlog::level::warn);
  CHECK(log::parse_level("info") == spdlog::level::info);
  CHECK(log::parse_level("debug") == spdlog::level::debug);
  CHECK(log::parse_level("trace") == spdlog::level::trace);
}

TEST_CASE("log levels are known by one digit, 1 for fatal to 6 for trace") {
  CHECK(log::parse_level("1") == spdlog::level::critical);
  CHECK(log::parse_level("4") == spdlog::level::info);
  CHECK(log::parse_level("6") == spdlog::level::trace);
}

TEST_CASE("anything else is no log level") {
  for (const char* name : {"", "0", "7", "12", "loud", "info "}) CHECK_FALSE(log::parse_level(name));
}

TEST_CASE("a message is one line, whoever's words are in it") {
  const test::TemporaryDirectory folder;
  {
    const Silence silence;
    log::set_up(spdlog::level::info, log::Stream::standard_error, folder / "shim.log");
    spdlog::info("the engine says \"no\"\n\x1b[2Jgone");
    log::set_up(spdlog::level::info, log::Stream::standard_error, std::nullopt);
  }
  CHECK(os::read_file(folder / "shim.log").ends_with(" info the engine says \"no\"\\n\\x1b[2Jgone\n"));
}

TEST_CASE("a log file is appended to, and never takes more than three times ten megabytes") {
  const test::TemporaryDirectory folder;
  {
    const Silence silence;
    const std::string megabyte(std::size_t{1} << 20, 'x');
    log::set_up(spdlog::level::info, log::Stream::standard_error, folder / "shim.log");
    spdlog::info("first");
    log::set_up(spdlog::level::info, log::Stream::standard_error, folder / "shim.log");
    spdlog::info("second");
    const std::string text = os::read_file(folder / "shim.log");
    CHECK((text.contains("first") && text.contains("second")));
    for (int i = 0; i < 45; ++i) spdlog::info(megabyte);
    log::set_up(spdlog::level::info, log::Stream::standard_error, std::nullopt);
  }
  std::set<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(folder.path())) {
    names.insert(entry.path().filename().string());
    CHECK(entry.file_size() <= std::uintmax_t{10} << 20);
  }
  CHECK(names == std::set<std::string>{"shim.log", "shim.1.log", "shim.2.log"});
}
