#pragma once

#include <atomic>
#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "common/os/mutex.h"
#include "common/os/unique_fd.h"

namespace dstack::files {

// What a server uploads before the job runs: its code and its archives, each in a file of its own whose name is none of
// theirs. All members may be called from any thread; an upload is for one.
class Uploads {
 public:
  // The folder is made when there is something to put into it, for the runner's eyes only.
  explicit Uploads(std::filesystem::path folder) : folder_(std::move(folder)) {}
  Uploads(const Uploads&) = delete;
  Uploads& operator=(const Uploads&) = delete;
  // Removes what was uploaded.
  ~Uploads();

  // A file on its way; gone unless it is kept.
  class Incoming {
   public:
    Incoming(Incoming&&) noexcept;
    Incoming& operator=(Incoming&&) = delete;
    ~Incoming();
    // Throws Error, for a full disk say.
    void write(std::string_view piece);
    // It is whole: takes the place of an earlier one with the same name.
    void keep();

   private:
    friend class Uploads;
    Incoming(Uploads& uploads, std::string key, std::filesystem::path path);
    Uploads* uploads_;
    std::string key_;
    std::filesystem::path path_;
    os::UniqueFd file_;
    std::uint64_t size_ = 0;
  };

  // Throws Error (invalid) for an id that is no plain name.
  Incoming receive_archive(const std::string& id);
  Incoming receive_code();

  std::optional<std::filesystem::path> archive(const std::string& id) const;
  // Nothing too where what was uploaded is empty.
  std::optional<std::filesystem::path> code() const;

  // Nothing is kept.
  bool empty() const;

  const std::filesystem::path& folder() const { return folder_; }

  // Removes all of it: it has been used.
  void clear();

 private:
  Incoming receive(std::string key);
  std::optional<std::filesystem::path> find(const std::string& key) const;

  const std::filesystem::path folder_;
  mutable os::Mutex mutex_;
  std::uint64_t count_ DSTACK_GUARDED_BY(mutex_) = 0;
  std::map<std::string, std::filesystem::path> kept_ DSTACK_GUARDED_BY(mutex_);
};

}  // namespace dstack::files
