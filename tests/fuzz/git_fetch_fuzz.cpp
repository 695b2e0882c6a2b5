// A git server that hands out anything: the clone is refused with an Error or made, and nothing outside of its folder
// is touched. The input says which objects the repository has; the pack around them is made here, compressed and with
// right sums, as otherwise no changed input would come further than those. Then bytes of the pack may be changed.
//
// The input is a list of records, each a letter and what belongs to it; "text" is a byte of length, then the bytes:
//
//   b text                     a file's content
//   t n, n × (mode text which) a folder: entries with a mode out of kModes, a name, and an object by number
//   c which text               a commit of that folder, with more lines for its header
//   o kind text                an object of any kind, its content as it is
//   d which text               a delta of that object
//   x high low byte            the byte of the pack at this place is changed
//   s                          the sum at the pack's end is wrong

#include <git2.h>
#include <git2/sys/odb_backend.h>
#include <git2/sys/transport.h>
#include <openssl/sha.h>
#include <spdlog/spdlog.h>
#include <zlib.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <format>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/error.h"
#include "common/os/remove_tree.h"
#include "runner/repo/clone.h"
#include "runner/repo/git.h"
#include "tests/fuzz/guarded_folder.h"
#include "tests/fuzz/planted.h"
#include "tests/support/temporary_directory.h"

namespace {

namespace repo = dstack::runner::repo;

constexpr std::array<const char*, 8> kModes = {"100644", "100755", "120000", "40000",
                                               "160000", "100664", "040000", "0"};
constexpr int kCommit = 1;
constexpr int kTree = 2;
constexpr int kBlob = 3;
constexpr int kRefDelta = 7;
// What a clone asks for once more, for each submodule, is answered this often.
constexpr int kAnswers = 3;

class Input {
 public:
  explicit Input(std::string_view bytes) : rest_(bytes) {}

  bool is_over() const { return rest_.empty(); }
  std::uint8_t byte() {
    if (rest_.empty()) return 0;
    const auto value = static_cast<std::uint8_t>(rest_.front());
    rest_.remove_prefix(1);
    return value;
  }
  std::string text() {
    const std::string_view text = rest_.substr(0, byte());
    const std::string taken(rest_.substr(0, text.size()));
    rest_.remove_prefix(taken.size());
    return taken;
  }

 private:
  std::string_view rest_;
};

struct GitObject {
  std::string id;  // 20 bytes
  int kind = kBlob;
  std::string content;
  // Of what the pack has as a delta:
  std::string base;  // its id
  std::string delta;
  bool is_wrong = false;  // nothing can be made of it
};

std::string id_of(int kind, std::string_view content) {
  git_oid id{};
  if (git_odb_hash(&id, content.data(), content.size(), static_cast<git_object_t>(kind)) != 0)
    return std::string(20, 0);
  return {reinterpret_cast<const char*>(id.id), sizeof id.id};
}

std::string hex(std::string_view bytes) {
  std::string text;
  for (const char byte : bytes) text += std::format("{:02x}", static_cast<unsigned char>(byte));
  return text;
}

std::string compressed(std::string_view content) {
  uLongf size = compressBound(content.size());
  std::string result(size, '\0');
  compress2(reinterpret_cast<Bytef*>(result.data()), &size, reinterpret_cast<const Bytef*>(content.data()),
            content.size(), 1);
  result.resize(size);
  return result;
}

// What a delta makes of its base; nothing for one that is not right. It is two sizes, then commands to copy and to add.
std::optional<std::string> apply_delta(std::string_view base, std::string_view delta) {
  Input input(delta);
  const auto size = [&input] {
    std::size_t value = 0;
    for (unsigned int shift = 0; shift < 64; shift += 7) {
      const std::size_t byte = input.byte();
      value |= (byte & 0x7f) << shift;
      if ((byte & 0x80) == 0) break;
    }
    return value;
  };
  if (size() != base.size()) return std::nullopt;
  const std::size_t wanted = size();
  std::string result;
  while (!input.is_over()) {
    const unsigned int command = input.byte();
    if (command == 0) return std::nullopt;
    if ((command & 0x80) == 0) {
      for (unsigned int left = command; left > 0; --left) result += static_cast<char>(input.byte());
      continue;
    }
    std::size_t place = 0;
    std::size_t length = 0;
    for (unsigned int i = 0; i < 4; ++i) {
      if ((command & 1U << i) != 0) place |= static_cast<std::size_t>(input.byte()) << 8 * i;
    }
    for (unsigned int i = 0; i < 3; ++i) {
      if ((command & 0x10U << i) != 0) length |= static_cast<std::size_t>(input.byte()) << 8 * i;
    }
    if (length == 0) length = 0x10000;
    if (place > base.size() || length > base.size() - place) return std::nullopt;
    result += base.substr(place, length);
  }
  return result.size() == wanted ? std::optional(result) : std::nullopt;
}

class Served {
 public:
  explicit Served(std::string_view bytes) {
    Input input(bytes);
    while (!input.is_over() && objects_.size() < 64) take(input);
    if (head_.empty()) add_commit(last_tree(), "");
    make_pack();
  }

  std::string advertised() const {
    const std::string id = hex(head_);
    return line("# service=git-upload-pack\n") + "0000" +
           line(id + " HEAD" + std::string(1, '\0') + "symref=HEAD:refs/heads/main ofs-delta\n") +
           line(id + " refs/heads/main\n") + "0000";
  }
  std::string answer() const { return line("NAK\n") + pack_; }

 private:
  struct Change {
    std::size_t place = 0;
    std::uint8_t byte = 0;
  };

  static std::string line(const std::string& text) { return std::format("{:04x}{}", text.size() + 4, text); }

  void take(Input& input) {
    switch (input.byte()) {
      case 'b': add(kBlob, input.text()); break;
      case 't': {
        std::string content;
        for (int left = input.byte() % 16; left > 0; --left) {
          content += kModes.at(input.byte() % kModes.size());
          content += ' ' + input.text() + '\0';
          content += object(input.byte());
        }
        add(kTree, content);
        break;
      }
      case 'c': {
        const std::string tree = object(input.byte());
        add_commit(tree, input.text());
        break;
      }
      case 'o': {
        const int kind = input.byte() % 8;
        add(kind, input.text());
        break;
      }
      case 'd': {
        const std::size_t number = input.byte();
        add_delta(number, input.text());
        break;
      }
      case 'x': {
        const auto high = static_cast<std::size_t>(input.byte());
        const auto low = static_cast<std::size_t>(input.byte());
        changes_.push_back({.place = high << 8 | low, .byte = input.byte()});
        break;
      }
      case 's': wrong_sum_ = true; break;
      default: break;
    }
  }

  std::string object(std::size_t number) const {
    return objects_.empty() ? std::string(20, 1) : objects_[number % objects_.size()].id;
  }
  std::string last_tree() const {
    for (auto object = objects_.rbegin(); object != objects_.rend(); ++object) {
      if (object->kind == kTree) return object->id;
    }
    return id_of(kTree, "");
  }
  void add(int kind, std::string content) {
    std::string id = id_of(kind, content);
    objects_.push_back({.id = std::move(id), .kind = kind, .content = std::move(content), .base = {}, .delta = {}});
  }
  void add_delta(std::size_t number, std::string delta) {
    if (objects_.empty()) return;
    const GitObject& base = objects_[number % objects_.size()];
    GitObject object{.id = base.id, .kind = base.kind, .content = {}, .base = base.id, .delta = std::move(delta)};
    const auto content = base.is_wrong ? std::nullopt : apply_delta(base.content, object.delta);
    object.is_wrong = !content;
    if (content) {
      object.id = id_of(object.kind, *content);
      object.content = *content;
    }
    objects_.push_back(std::move(object));
  }
  void add_commit(const std::string& tree, const std::string& lines) {
    add(kCommit,
        std::format("tree {}\n{}author a <a> 1 +0000\ncommitter a <a> 1 +0000\n\nmessage\n", hex(tree), lines));
    head_ = objects_.back().id;
  }

  void make_pack() {
    pack_ = std::string("PACK\0\0\0\2\0\0\0", 11) + static_cast<char>(objects_.size());
    for (const GitObject& object : objects_) {
      const std::string& bytes = object.base.empty() ? object.content : object.delta;
      std::size_t size = bytes.size();
      const int kind = object.base.empty() ? object.kind : kRefDelta;
      auto first = static_cast<unsigned int>(static_cast<std::size_t>(kind) << 4 | (size & 15));
      for (size >>= 4; size > 0; size >>= 7) {
        pack_ += static_cast<char>(first | 0x80);
        first = size & 0x7f;
      }
      pack_ += static_cast<char>(first);
      pack_ += object.base + compressed(bytes);
    }
    for (const Change& change : changes_) {
      const std::size_t place = change.place % pack_.size();
      // The number of objects: libgit2 asks malloc for as much memory, which says no. libFuzzer takes that for a fault.
      if (place != 8 && place != 9) pack_[place] ^= static_cast<char>(change.byte);
    }
    std::array<unsigned char, SHA_DIGEST_LENGTH> sum{};
    SHA1(reinterpret_cast<const unsigned char*>(pack_.data()), pack_.size(), sum.data());
    if (wrong_sum_) ++sum[0];
    pack_.append(reinterpret_cast<const char*>(sum.data()), sum.size());
  }

  std::vector<GitObject> objects_;
  std::vector<Change> changes_;
  bool wrong_sum_ = false;
  std::string head_;
  std::string pack_;
};

const Served* served = nullptr;
int answers = 0;

// libgit2's interface for what carries its protocol: C structs, whose first member is the base.
struct Stream {
  git_smart_subtransport_stream base{};
  std::string text;
  std::size_t place = 0;
};

int read_stream(git_smart_subtransport_stream* base, char* buffer, std::size_t size, std::size_t* read) {
  auto* stream = reinterpret_cast<Stream*>(base);
  *read = std::min(size, stream->text.size() - stream->place);
  std::memcpy(buffer, stream->text.data() + stream->place, *read);
  stream->place += *read;
  return 0;
}
int write_stream(git_smart_subtransport_stream*, const char*, std::size_t) { return 0; }
void free_stream(git_smart_subtransport_stream* base) { delete reinterpret_cast<Stream*>(base); }

int act(git_smart_subtransport_stream** out, git_smart_subtransport* transport, const char*,
        git_smart_service_t action) {
  if (answers-- <= 0) return GIT_ERROR;
  auto stream = std::make_unique<Stream>();
  stream->base = {.subtransport = transport, .read = read_stream, .write = write_stream, .free = free_stream};
  stream->text = action == GIT_SERVICE_UPLOADPACK_LS ? served->advertised() : served->answer();
  *out = &stream.release()->base;
  return 0;
}
int close_transport(git_smart_subtransport*) { return 0; }
void free_transport(git_smart_subtransport* transport) { delete transport; }

int make_transport(git_smart_subtransport** out, git_transport*, void*) {
  *out = new git_smart_subtransport{.action = act, .close = close_transport, .free = free_transport};
  return 0;
}

// Each clone would read all certificates of this machine, which takes longer than the clone itself.
class NoCertificates {
 public:
  NoCertificates() {
    ::setenv("SSL_CERT_DIR", folder_.path().c_str(), 1);
    ::unsetenv("SSL_CERT_FILE");
  }

 private:
  const dstack::test::TemporaryDirectory folder_;
};

// In place of libgit2's own https, which would want a network.
class Transport {
 public:
  Transport() { repo::check(git_transport_register("https", git_transport_smart, &definition_), "register"); }

 private:
  const repo::GitLibrary library_;  // libgit2 forgets the transport when the last of these is gone
  git_smart_subtransport_definition definition_{.callback = make_transport, .rpc = 1, .param = nullptr};
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  spdlog::set_level(spdlog::level::off);
  static const NoCertificates no_certificates;
  static const Transport transport;
  static const dstack::test::GuardedFolder folder;
  const Served server({reinterpret_cast<const char*>(data), size});
  served = &server;
  answers = 2 * kAnswers;
  const repo::CloneRequest request{.url = "https://localhost/team/repository.git"};
  std::filesystem::create_directory(folder.path() / "repo");
  try {
    repo::clone(request, folder.path() / "repo", std::nullopt, [] { return false; });
    // No input of the corpus has a link of another name.
    for (const auto& entry : std::filesystem::recursive_directory_iterator(folder.path() / "repo"))
      dstack::test::planted_bug(entry.is_symlink() && entry.path().filename() != "l");
  } catch (const dstack::Error&) {
  }
  dstack::os::remove_tree(folder.path(), "repo");
  folder.check();
  return 0;
}
