// Changes an archive's bytes, then makes the checksum of each header right again: without that, hardly a changed header
// would be read at all.

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <string_view>

extern "C" std::size_t LLVMFuzzerMutate(std::uint8_t* data, std::size_t size, std::size_t limit);

namespace {

constexpr std::size_t kBlock = 512;
constexpr std::size_t kChecksum = 148;
constexpr std::size_t kChecksumSize = 8;
constexpr std::size_t kKind = 156;
constexpr std::size_t kMagic = 257;

void correct_checksum(std::uint8_t* header) {
  std::memset(header + kChecksum, ' ', kChecksumSize);
  unsigned int sum = 0;
  for (std::size_t i = 0; i < kBlock; ++i) sum += header[i];
  std::array<char, kChecksumSize + 1> text{};
  std::snprintf(text.data(), text.size(), "%06o", sum);
  std::memcpy(header + kChecksum, text.data(), kChecksumSize - 1);
}

}  // namespace

// The first byte selects the layout. One time in four an entry becomes one of another kind.
extern "C" std::size_t LLVMFuzzerCustomMutator(std::uint8_t* data, std::size_t size, std::size_t limit,
                                               unsigned int seed) {
  constexpr std::string_view kKinds = "01234567xgLK";
  const bool changes_kind = seed % 4 == 0;
  const std::size_t new_size = changes_kind ? size : LLVMFuzzerMutate(data, size, limit);
  std::size_t number = 0;
  for (std::size_t at = 1; at + kBlock <= new_size; at += kBlock) {
    const std::string_view magic(reinterpret_cast<const char*>(data + at + kMagic), 5);
    if (magic != "ustar") continue;
    if (changes_kind && number++ == seed / 4 % 4) {
      data[at + kKind] = static_cast<std::uint8_t>(kKinds[seed / 16 % kKinds.size()]);
    }
    correct_checksum(data + at);
  }
  return new_size;
}
