#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "tests/support/temporary_directory.h"

namespace dstack::test {

// A disk of zeros, backed by a sparse file; gone with this. Needs root and loop devices.
class LoopDevice {
 public:
  // Whether this machine lets us make one.
  static bool available();

  explicit LoopDevice(std::uint64_t size = std::uint64_t{64} << 20);
  LoopDevice(const LoopDevice&) = delete;
  LoopDevice& operator=(const LoopDevice&) = delete;
  ~LoopDevice();

  const std::string& path() const { return path_; }     // "/dev/loop3"
  std::string name() const { return path_.substr(5); }  // "loop3"
  const std::filesystem::path& image() const { return image_; }

  // Writes to the disk.
  void write(std::uint64_t offset, std::string_view bytes);
  // A number that stands for every byte of the disk, as they are on the backing file.
  std::uint64_t fingerprint() const;
  // What blkid says of it: "ext4"; empty where it finds nothing.
  std::string type() const;
  // Pulls the disk out.
  void detach();

 private:
  TemporaryDirectory folder_;
  std::filesystem::path image_;
  std::string path_;
};

// Runs a program and throws unless it succeeds; its output.
std::string run(std::vector<std::string> arguments);

}  // namespace dstack::test
