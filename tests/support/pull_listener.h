#pragma once

#include <cstdint>
#include <string>

#include "shim/docker/pull_observer.h"

namespace dstack::test {

// Notes what it hears of a pull. Read it after ensure() has returned.
struct PullListener final : shim::docker::PullObserver {
  void begins(const shim::docker::ImageReference& image, bool absent) override {
    began = image.name();
    is_absent = absent;
  }
  void arrived(const shim::docker::ImageReference& image, const shim::docker::ArrivedImage& arrived) override {
    there = image.name();
    digest = arrived.digest;
    had_layers = arrived.had_layers;
  }
  void failed(const shim::docker::ImageReference& image) override { failed_one = image.name(); }
  void used(const shim::docker::ImageReference&) override {}
  void size_known(std::uint64_t) override {}
  bool make_room(const shim::docker::ImageReference&) override { return false; }

  std::string began;
  bool is_absent = false;
  std::string there;
  std::string digest;
  bool had_layers = false;
  std::string failed_one;
};

}  // namespace dstack::test
