#pragma once

#include <cstdint>
#include <string>

#include "shim/docker/image_reference.h"

namespace dstack::shim::docker {

// Hears of pulls, on their threads. Members throw nothing; but for size_known() they may block.
class PullObserver {
 public:
  virtual ~PullObserver() = default;

  virtual void begins(const ImageReference& image) = 0;
  // The image of a pull that began is there. `digest` is that of its registry where the engine does not know it, as of
  // one from a mirror; else it is empty.
  virtual void arrived(const ImageReference& image, const std::string& digest) = 0;
  // The pull has failed, or was cancelled.
  virtual void failed(const ImageReference& image) = 0;
  // It was there and needed no pull.
  virtual void used(const ImageReference& image) = 0;
  // The size of every layer is known: how many bytes are still to be downloaded.
  virtual void size_known(std::uint64_t bytes_to_come) = 0;
  // The pull has failed since the disk is full; true if there is more room now.
  virtual bool make_room(const ImageReference& image) = 0;
};

}  // namespace dstack::shim::docker
