#include "runner/repo/binary_patch.h"

#include <zlib.h>

#include <array>
#include <cstdint>
#include <format>
#include <string>

#include "common/error.h"

namespace dstack::runner::repo {

namespace {

Error damaged(std::string_view what) {
  return {ErrorKind::invalid, std::format("the binary patch is damaged: {}", what)};
}

constexpr std::string_view kDigits =
    "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz!#$%&()*+-;<=>?@^_`{|}~";
static_assert(kDigits.size() == 85);

constexpr std::array<int, 256> make_values() {
  std::array<int, 256> values{};
  values.fill(-1);
  for (std::size_t i = 0; i < kDigits.size(); ++i) values[static_cast<unsigned char>(kDigits[i])] = static_cast<int>(i);
  return values;
}
constexpr std::array<int, 256> kDigitValues = make_values();

// A line is its length as a letter, then groups of five digits for four bytes each.
std::string decode_line(std::string_view line) {
  const char letter = line[0];
  std::size_t size = 0;
  if (letter >= 'A' && letter <= 'Z') {
    size = static_cast<std::size_t>(letter - 'A') + 1;
  } else if (letter >= 'a' && letter <= 'z') {
    size = static_cast<std::size_t>(letter - 'a') + 27;
  } else {
    throw damaged("a line has no length");
  }
  line.remove_prefix(1);
  if (line.size() != (size + 3) / 4 * 5) throw damaged("the length of a line is wrong");
  std::string bytes;
  for (std::size_t group = 0; group < line.size(); group += 5) {
    std::uint64_t value = 0;
    for (const char c : line.substr(group, 5)) {
      const int digit = kDigitValues[static_cast<unsigned char>(c)];
      if (digit < 0) throw damaged("a character is not a digit");
      value = value * 85 + static_cast<std::uint64_t>(digit);
    }
    if (value > UINT32_MAX) throw damaged("a group of digits is too large");
    for (int shift = 24; shift >= 0; shift -= 8) bytes += static_cast<char>((value >> shift) & 0xff);
  }
  bytes.resize(size);
  return bytes;
}

// zlib's stream, given back when this goes.
class Inflater {
 public:
  Inflater() {
    if (::inflateInit(&stream_) != Z_OK) throw Error(ErrorKind::internal, "unpack a binary patch: out of memory");
  }
  Inflater(const Inflater&) = delete;
  Inflater& operator=(const Inflater&) = delete;
  ~Inflater() { ::inflateEnd(&stream_); }

  // Unpacks `packed` and hands over at most `room` bytes in all.
  void feed(std::string packed, std::uint64_t& room, const std::function<void(std::string_view)>& take) {
    std::array<char, 65536> buffer;
    stream_.next_in = reinterpret_cast<Bytef*>(packed.data());
    stream_.avail_in = static_cast<uInt>(packed.size());
    do {
      stream_.next_out = reinterpret_cast<Bytef*>(buffer.data());
      stream_.avail_out = static_cast<uInt>(buffer.size());
      const int result = ended_ ? Z_DATA_ERROR : ::inflate(&stream_, Z_NO_FLUSH);
      ended_ = result == Z_STREAM_END;
      if (result != Z_OK && result != Z_STREAM_END && result != Z_BUF_ERROR) throw damaged("it cannot be unpacked");
      const std::size_t size = buffer.size() - stream_.avail_out;
      if (size > room) throw damaged("it is larger than it says");
      room -= size;
      if (size > 0) take({buffer.data(), size});
    } while ((stream_.avail_in > 0 && !ended_) || stream_.avail_out == 0);
    if (stream_.avail_in > 0) throw damaged("there is data after its end");
  }
  bool ended() const { return ended_; }

 private:
  z_stream stream_{};
  bool ended_ = false;
};

void decode(const BinaryPatch& patch, const std::function<void(std::string_view)>& take) {
  Inflater inflater;
  std::uint64_t room = patch.size;
  std::string_view rest = patch.encoded;
  while (!rest.empty()) {
    const std::size_t end = std::min(rest.find('\n'), rest.size());
    if (end == 0) throw damaged("a line is empty");
    inflater.feed(decode_line(rest.substr(0, end)), room, take);
    rest.remove_prefix(std::min(end + 1, rest.size()));
  }
  if (!inflater.ended() || room > 0) throw damaged("it breaks off");
}

std::uint8_t take_byte(std::string_view& delta) {
  if (delta.empty()) throw damaged("its delta is truncated");
  const auto byte = static_cast<std::uint8_t>(delta[0]);
  delta.remove_prefix(1);
  return byte;
}

std::uint64_t take_size(std::string_view& delta) {
  std::uint64_t size = 0;
  for (unsigned shift = 0; shift < 63; shift += 7) {
    const std::uint8_t byte = take_byte(delta);
    size |= static_cast<std::uint64_t>(byte & 0x7f) << shift;
    if ((byte & 0x80) == 0) return size;
  }
  throw damaged("a size in its delta is too large");
}

// The delta's commands: copy a stretch of the old content, or insert what follows.
void apply_delta(std::string_view old_content, std::string_view delta,
                 const std::function<void(std::string_view)>& take) {
  if (take_size(delta) != old_content.size()) {
    throw Error(ErrorKind::conflict, "the binary patch was made for other content");
  }
  std::uint64_t room = take_size(delta);
  while (!delta.empty()) {
    const std::uint8_t command = take_byte(delta);
    std::string_view piece;
    if ((command & 0x80) != 0) {
      std::size_t offset = 0;
      std::size_t size = 0;
      for (unsigned i = 0; i < 4; ++i) {
        if ((command & (1u << i)) != 0) offset |= static_cast<std::size_t>(take_byte(delta)) << (8 * i);
      }
      for (unsigned i = 0; i < 3; ++i) {
        if ((command & (0x10u << i)) != 0) size |= static_cast<std::size_t>(take_byte(delta)) << (8 * i);
      }
      if (size == 0) size = 0x10000;
      if (offset > old_content.size() || size > old_content.size() - offset) {
        throw damaged("its delta copies data that does not exist");
      }
      piece = old_content.substr(offset, size);
    } else {
      if (command == 0 || command > delta.size()) throw damaged("its delta has an unknown command");
      piece = delta.substr(0, command);
      delta.remove_prefix(command);
    }
    if (piece.size() > room) throw damaged("its delta makes more than it says");
    room -= piece.size();
    take(piece);
  }
  if (room > 0) throw damaged("its delta makes less than it says");
}

}  // namespace

void apply_binary(std::string_view old_content, const BinaryPatch& patch, Spool& spool,
                  const std::function<void(std::string_view)>& take) {
  if (patch.form == BinaryPatch::Form::literal) return decode(patch, take);
  const std::uint64_t start = spool.end();
  decode(patch, [&spool](std::string_view piece) { spool.append(piece); });
  spool.read(spool.since(start), [&](std::string_view delta) { apply_delta(old_content, delta, take); });
}

}  // namespace dstack::runner::repo
