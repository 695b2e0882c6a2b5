#include "runner/api/uploading.h"

#include <format>
#include <optional>
#include <utility>

#include "common/error.h"
#include "runner/files/multipart.h"

namespace dstack::runner::api {

namespace {

using files::FormParser;
using files::Uploads;

void check_names(const FormParser::Part& part) {
  if (part.field.empty()) throw Error(ErrorKind::invalid, "missing field name");
  if (part.field != "archive") {
    throw Error(ErrorKind::invalid, std::format("unexpected field {}", printable(part.field)));
  }
  if (part.file_name.empty()) throw Error(ErrorKind::invalid, "missing file name");
}

}  // namespace

http::Response upload_archive(job::Executor& executor, const http::Request& request, http::BodyReader& body) {
  executor.check_upload_allowed();
  std::optional<Uploads::Incoming> incoming;
  FormParser parser(
      files::multipart_boundary(request.header("content-type")),
      [&](const FormParser::Part& part) {
        check_names(part);
        incoming.emplace(executor.receive_archive(part.file_name));
      },
      [&](std::string_view data) {
        if (incoming) incoming->write(data);
      });
  body.read([&parser](std::string_view piece) { parser.feed(piece); });
  parser.finish();
  // NOLINTNEXTLINE(bugprone-unchecked-optional-access): what is whole has a part
  executor.keep(*std::move(incoming));
  return http::Response::empty();
}

http::Response upload_code(job::Executor& executor, http::BodyReader& body) {
  Uploads::Incoming incoming = executor.receive_code();
  body.read([&incoming](std::string_view piece) { incoming.write(piece); });
  executor.keep(std::move(incoming));
  return http::Response::empty();
}

}  // namespace dstack::runner::api
