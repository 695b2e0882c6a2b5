#include "runner/files/uploads.h"

#include <fcntl.h>

#include <format>
#include <system_error>
#include <utility>

#include "common/error.h"
#include "common/os/file.h"

namespace dstack::files {

namespace {

constexpr std::size_t kLongestId = 255;
const std::string code_key = "code";

std::string archive_key(const std::string& id) { return "archive " + id; }

}  // namespace

Uploads::~Uploads() { clear(); }

Uploads::Incoming::Incoming(Uploads& uploads, std::string key, std::filesystem::path path)
    : uploads_(&uploads),
      key_(std::move(key)),
      path_(std::move(path)),
      file_(os::open_file(path_, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0600)) {}

Uploads::Incoming::Incoming(Incoming&& other) noexcept
    : uploads_(std::exchange(other.uploads_, nullptr)),
      key_(std::move(other.key_)),
      path_(std::move(other.path_)),
      file_(std::move(other.file_)),
      size_(other.size_) {}

Uploads::Incoming::~Incoming() {
  if (uploads_ != nullptr) ::unlink(path_.c_str());
}

void Uploads::Incoming::write(std::string_view piece) {
  os::write_all(file_.get(), piece, "the upload");
  size_ += piece.size();
}

void Uploads::Incoming::keep() {
  file_.reset();
  const os::Lock lock(uploads_->mutex_);
  if (const auto earlier = uploads_->kept_.find(key_); earlier != uploads_->kept_.end()) {
    ::unlink(earlier->second.c_str());
    uploads_->kept_.erase(earlier);
  }
  // No code is a body without a byte, and no reason to look at it later.
  if (key_ == code_key && size_ == 0) return;
  uploads_->kept_.emplace(key_, path_);
  uploads_ = nullptr;
}

Uploads::Incoming Uploads::receive_archive(const std::string& id) {
  if (id.empty() || id == "." || id == ".." || id.size() > kLongestId || id.contains('/') || id.contains('\0')) {
    throw Error(ErrorKind::invalid, std::format("{} is not an archive id", printable(id)));
  }
  return receive(archive_key(id));
}

Uploads::Incoming Uploads::receive_code() { return receive(code_key); }

Uploads::Incoming Uploads::receive(std::string key) {
  const os::Lock lock(mutex_);
  os::make_directories(folder_, 0700);
  return {*this, std::move(key), folder_ / std::to_string(++count_)};
}

std::optional<std::filesystem::path> Uploads::archive(const std::string& id) const { return find(archive_key(id)); }

std::optional<std::filesystem::path> Uploads::code() const { return find(code_key); }

std::optional<std::filesystem::path> Uploads::find(const std::string& key) const {
  const os::Lock lock(mutex_);
  const auto found = kept_.find(key);
  if (found == kept_.end()) return std::nullopt;
  return found->second;
}

bool Uploads::empty() const {
  const os::Lock lock(mutex_);
  return kept_.empty();
}

void Uploads::clear() {
  const os::Lock lock(mutex_);
  for (const auto& [key, path] : kept_) ::unlink(path.c_str());
  kept_.clear();
  std::error_code error;
  std::filesystem::remove(folder_, error);  // not while something is still on its way
}

}  // namespace dstack::files
