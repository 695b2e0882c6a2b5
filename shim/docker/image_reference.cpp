#include "shim/docker/image_reference.h"

#include <algorithm>
#include <format>

#include "common/error.h"

namespace dstack::shim::docker {

namespace {

constexpr std::size_t kNameLimit = 4096;
constexpr std::size_t kTagLimit = 128;
// The engine gives credentials to no host but the one that is named, and Docker Hub is named so.
constexpr const char* kHub = "https://index.docker.io/v1/";

bool is_word(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_'; }

// "host.name", "host:5000", "[::1]:5000", "HOST" before the first slash; the engine tells them from a part of the
// repository in the same way.
bool is_registry(std::string_view component) {
  return component.find_first_of(".:") != std::string_view::npos || component == "localhost" ||
         std::ranges::any_of(component, [](char c) { return c >= 'A' && c <= 'Z'; });
}

bool is_repository(std::string_view repository) {
  bool first = true;
  while (true) {
    const std::size_t slash = repository.find('/');
    const std::string_view component = repository.substr(0, slash);
    const bool registry = first && slash != std::string_view::npos && is_registry(component);
    const std::string_view also = registry ? "-.:[]" : "-.";
    if (component.empty()) return false;
    for (const char c : component) {
      if (!is_word(c) && also.find(c) == std::string_view::npos) return false;
      if (!registry && c >= 'A' && c <= 'Z') return false;
    }
    // The first byte decides whether a name could be taken for an option or a path.
    if (!is_word(component.front()) && !(registry && component.front() == '[')) return false;
    if (slash == std::string_view::npos) return true;
    repository.remove_prefix(slash + 1);
    first = false;
  }
}

bool is_tag(std::string_view tag) {
  return !tag.empty() && tag.size() <= kTagLimit && is_word(tag.front()) &&
         std::ranges::all_of(tag, [](char c) { return is_word(c) || c == '.' || c == '-'; });
}

bool is_digest(std::string_view digest) {
  const std::size_t colon = digest.find(':');
  if (colon == std::string_view::npos || colon == 0) return false;
  const auto is_hex = [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); };
  const auto is_algorithm = [](char c) { return is_word(c) || c == '+' || c == '.' || c == '-'; };
  const std::string_view hex = digest.substr(colon + 1);
  return hex.size() >= 32 && std::ranges::all_of(hex, is_hex) &&
         std::ranges::all_of(digest.substr(0, colon), is_algorithm);
}

}  // namespace

std::string ImageReference::name() const {
  std::string out = repository;
  if (!tag.empty()) out += ":" + tag;
  if (!digest.empty()) out += "@" + digest;
  return out;
}

std::string ImageReference::server_address() const {
  const std::size_t slash = repository.find('/');
  std::string registry = slash == std::string::npos ? "" : repository.substr(0, slash);
  if (!is_registry(registry) || registry == "docker.io" || registry == "index.docker.io") return kHub;
  return registry;
}

std::string ImageReference::path() const {
  const std::size_t slash = repository.find('/');
  const bool has_registry = slash != std::string::npos && is_registry(std::string_view(repository).substr(0, slash));
  const std::string path = has_registry ? repository.substr(slash + 1) : repository;
  const bool of_hub = server_address() == kHub;
  return of_hub && !path.contains('/') ? "library/" + path : path;
}

ImageReference parse_image_reference(std::string_view name) {
  const auto refuse = [name] { return Error(ErrorKind::invalid, "invalid image name: " + printable(name)); };
  if (name.empty() || name.size() > kNameLimit) throw refuse();

  ImageReference reference;
  std::string_view rest = name;
  if (const std::size_t at = rest.find('@'); at != std::string_view::npos) {
    reference.digest = rest.substr(at + 1);
    if (!is_digest(reference.digest)) throw refuse();
    rest = rest.substr(0, at);
  }
  // Behind the last slash a colon begins the tag; before it, a registry's port.
  const std::size_t slash = rest.rfind('/');
  const std::size_t colon = rest.find(':', slash == std::string_view::npos ? 0 : slash);
  if (colon != std::string_view::npos) {
    reference.tag = rest.substr(colon + 1);
    if (!is_tag(reference.tag)) throw refuse();
    rest = rest.substr(0, colon);
  } else if (reference.digest.empty()) {
    reference.tag = "latest";
  }
  if (!is_repository(rest)) throw refuse();
  reference.repository = rest;
  return reference;
}

}  // namespace dstack::shim::docker
