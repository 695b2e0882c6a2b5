#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace dstack::http {

// Finds which pattern a path belongs to. A segment in braces matches any one segment that is not empty.
class Router {
 public:
  struct Match {
    std::size_t route = 0;  // what add() returned
    std::map<std::string, std::string, std::less<>> parameters;
  };
  enum class Miss { unknown_path, wrong_method };
  struct Result {
    std::optional<Match> match;
    Miss miss = Miss::unknown_path;
    std::string allowed;  // "GET, POST", for a wrong method
  };

  std::size_t add(std::string method, const std::string& pattern);
  Result find(std::string_view method, std::string_view path) const;

 private:
  struct Entry {
    std::string method;
    std::vector<std::string> segments;
  };
  std::vector<Entry> entries_;
};

}  // namespace dstack::http
