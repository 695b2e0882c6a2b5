#include <algorithm>
#include <array>
#include <catch2/catch_test_macros.hpp>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <random>

// What the SSH server has in place of malloc and the like (cmake/recipes/openssh/memory.c).
extern "C" {
void* image_malloc(std::size_t size);
void image_free(void* memory);
void* image_calloc(std::size_t count, std::size_t size);
void* image_realloc(void* memory, std::size_t size);
void* image_reallocarray(void* memory, std::size_t count, std::size_t size);
}

namespace {

struct Block {
  unsigned char* memory = nullptr;
  std::size_t size = 0;
  unsigned char fill = 0;

  void write() const { std::memset(memory, fill, size); }
  bool holds(std::size_t bytes) const {
    for (std::size_t i = 0; i < bytes; ++i) {
      if (memory[i] != fill) return false;
    }
    return true;
  }
};

}  // namespace

TEST_CASE("Blocks of sshd's memory keep what is in them, whatever else is taken and given back") {
  std::mt19937 random(1);
  const auto size = [&random] { return std::size_t{1} << random() % 24 | random() % 4096; };
  std::array<Block, 12> blocks;
  for (int step = 0; step < 500; ++step) {
    Block& block = blocks[random() % blocks.size()];
    REQUIRE(block.holds(block.size));
    const std::size_t wanted = size();
    switch (random() % 3) {
      case 0:
        image_free(block.memory);
        block = {static_cast<unsigned char*>(image_malloc(wanted)), wanted, static_cast<unsigned char>(step)};
        break;
      case 1:
        image_free(block.memory);
        block = {static_cast<unsigned char*>(image_calloc(wanted, 1)), wanted, 0};
        REQUIRE(block.holds(wanted));
        block.fill = static_cast<unsigned char>(step);
        break;
      default:
        block.memory = static_cast<unsigned char*>(image_reallocarray(block.memory, wanted, 1));
        REQUIRE(block.holds(std::min(block.size, wanted)));
        block.size = wanted;
    }
    REQUIRE(reinterpret_cast<std::uintptr_t>(block.memory) % 16 == 0);
    block.write();
  }
  for (const Block& block : blocks) image_free(block.memory);
}

TEST_CASE("A large block that sshd gives back is the next one it gets") {
  void* first = image_malloc(300'000);
  image_free(first);
  void* second = image_malloc(290'000);
  CHECK(second == first);
  image_free(second);
}

TEST_CASE("A request for more memory than there are addresses is refused") {
  constexpr std::size_t most = std::numeric_limits<std::size_t>::max();
  CHECK(image_reallocarray(nullptr, most / 2, 3) == nullptr);
}
