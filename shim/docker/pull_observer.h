#pragma once

#include <cstdint>
#include <string>

#include "shim/docker/image_reference.h"

namespace dstack::shim::docker {

// Of a pull that has brought its image.
struct ArrivedImage {
  // In its registry, where the engine does not know it, as of an image from a mirror; else empty.
  std::string digest;
  // The engine has named layers of it, which may have been there already.
  bool had_layers = false;
};

// Hears of pulls, on their threads. Members throw nothing; but for size_known() they may block.
class PullObserver {
 public:
  virtual ~PullObserver() = default;

  // `is_absent`: the engine has just said that it has no image of that name. False: not known.
  virtual void begins(const ImageReference& image, bool is_absent) = 0;
  // The image of a pull that began is there.
  virtual void arrived(const ImageReference& image, const ArrivedImage& arrived) = 0;
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
