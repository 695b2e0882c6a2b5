#pragma once

#include <string>
#include <string_view>

namespace dstack::server_api {

// What a server's error says, in any of its forms: {"detail": [{"msg","code"}]}, {"detail": {"msg"}}, {"detail": "…"},
// {"detail": [{"loc","msg"}]} of a body that it does not take, {"msg","code"}.
struct ServerError {
  std::string message;  // one line, without control characters; empty where the answer is nothing of these
  std::string code;
};
ServerError read_error(std::string_view body);

}  // namespace dstack::server_api
