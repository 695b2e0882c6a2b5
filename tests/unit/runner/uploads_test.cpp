#include "runner/files/uploads.h"

#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>

#include "common/error.h"
#include "common/os/file.h"
#include "tests/support/temporary_directory.h"

using namespace dstack;
using files::Uploads;

namespace {

void upload(Uploads::Incoming incoming, std::string_view content) {
  incoming.write(content);
  incoming.keep();
}

}  // namespace

TEST_CASE("an upload is there once it is whole") {
  const test::TemporaryDirectory folder;
  Uploads uploads(folder / "uploads");
  Uploads::Incoming incoming = uploads.receive_archive("id");
  incoming.write("one ");
  incoming.write("two");
  CHECK_FALSE(uploads.archive("id"));
  incoming.keep();
  CHECK(os::read_file(uploads.archive("id").value()) == "one two");
  CHECK_FALSE(uploads.archive("other"));
  CHECK_FALSE(uploads.code());
}

TEST_CASE("an upload that is not kept leaves nothing, nor an earlier one in its place") {
  const test::TemporaryDirectory folder;
  Uploads uploads(folder / "uploads");
  upload(uploads.receive_code(), "first");
  {
    uploads.receive_code().write("half");
  }
  CHECK(os::read_file(uploads.code().value()) == "first");
  CHECK(std::distance(std::filesystem::directory_iterator(folder / "uploads"), {}) == 1);
}

TEST_CASE("the last upload of a name counts") {
  const test::TemporaryDirectory folder;
  Uploads uploads(folder / "uploads");
  upload(uploads.receive_archive("id"), "first");
  upload(uploads.receive_archive("id"), "second");
  CHECK(os::read_file(uploads.archive("id").value()) == "second");
  CHECK(std::distance(std::filesystem::directory_iterator(folder / "uploads"), {}) == 1);
}

TEST_CASE("code without a byte is no code, whatever was uploaded before") {
  const test::TemporaryDirectory folder;
  Uploads uploads(folder / "uploads");
  upload(uploads.receive_code(), "first");
  upload(uploads.receive_code(), "");
  CHECK_FALSE(uploads.code());
}

TEST_CASE("an id that is no plain name is refused") {
  const test::TemporaryDirectory folder;
  Uploads uploads(folder / "uploads");
  const std::string id = GENERATE(as<std::string>{}, "", ".", "..", "../x", "/etc/passwd", "a/b",
                                  std::string("a\0b", 3), std::string(256, 'a'));
  CHECK_THROWS_AS(uploads.receive_archive(id), Error);
  CHECK_FALSE(std::filesystem::exists(folder / "uploads"));
}

TEST_CASE("nothing is left when all has been used") {
  const test::TemporaryDirectory folder;
  Uploads uploads(folder / "uploads");
  upload(uploads.receive_archive("id"), "x");
  uploads.clear();
  CHECK_FALSE(uploads.archive("id"));
  CHECK_FALSE(std::filesystem::exists(folder / "uploads"));
}
