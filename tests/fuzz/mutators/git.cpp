// Changes an input of the git_fetch target record by record, so that folders stay folders: the records' form is at the
// top of git_fetch_fuzz.cpp. One time in eight the bytes are changed instead.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <random>
#include <string>
#include <string_view>
#include <vector>

extern "C" std::size_t LLVMFuzzerMutate(std::uint8_t* data, std::size_t size, std::size_t limit);

namespace {

// What a checkout treats in a way of its own.
constexpr std::string_view kNames[] = {"a",          "b",    ".git",   ".GIT", "git~1", ".gitmodules", ".gitattributes",
                                       ".gitignore", "a/b",  "..",     ".",    "",      ".git\\x",     "a\\b",
                                       "a:b",        "con ", "a\nb\n", "/a",   "../x"};
constexpr std::size_t kMostRecords = 32;

struct Entry {
  char mode = 0;
  std::string name;
  char which = 0;
};

struct Record {
  char letter = 0;
  std::string numbers;         // the bytes that are no text, before it
  std::string text;            // of b, c, o, d
  std::vector<Entry> entries;  // of t
};

class Reader {
 public:
  explicit Reader(std::string_view bytes) : rest_(bytes) {}
  bool is_over() const { return rest_.empty(); }
  std::string bytes(std::size_t count) {
    std::string taken(rest_.substr(0, count));
    rest_.remove_prefix(taken.size());
    taken.resize(count);
    return taken;
  }
  char byte() { return bytes(1)[0]; }
  std::string text() {
    const auto size = static_cast<unsigned char>(byte());
    return bytes(std::min<std::size_t>(size, rest_.size()));
  }

 private:
  std::string_view rest_;
};

std::vector<Record> parse(std::string_view input) {
  std::vector<Record> records;
  Reader reader(input);
  while (!reader.is_over() && records.size() < kMostRecords) {
    Record record{.letter = reader.byte()};
    switch (record.letter) {
      case 'b': record.text = reader.text(); break;
      case 'c':
      case 'o':
      case 'd':
        record.numbers = reader.bytes(1);
        record.text = reader.text();
        break;
      case 't':
        for (int left = reader.byte() & 15; left > 0; --left) {
          Entry entry{.mode = reader.byte()};
          entry.name = reader.text();
          entry.which = reader.byte();
          record.entries.push_back(std::move(entry));
        }
        break;
      case 'x': record.numbers = reader.bytes(3); break;
      case 's': break;
      default: continue;
    }
    records.push_back(std::move(record));
  }
  return records;
}

void write_text(std::string& output, const std::string& text) {
  output += static_cast<char>(std::min<std::size_t>(text.size(), 255));
  output += text.substr(0, 255);
}

std::string write(const std::vector<Record>& records) {
  std::string output;
  for (const Record& record : records) {
    output += record.letter;
    output += record.numbers;
    if (std::string_view("bcod").contains(record.letter)) write_text(output, record.text);
    if (record.letter != 't') continue;
    const std::size_t count = std::min<std::size_t>(record.entries.size(), 15);
    output += static_cast<char>(count);
    for (std::size_t i = 0; i < count; ++i) {
      output += record.entries[i].mode;
      write_text(output, record.entries[i].name);
      output += record.entries[i].which;
    }
  }
  return output;
}

void change_text(std::string& text) {
  const std::size_t size = text.size();
  text.resize(255);
  text.resize(LLVMFuzzerMutate(reinterpret_cast<std::uint8_t*>(text.data()), std::min<std::size_t>(size, 255), 255));
}

// Of all objects, which are numbered from 0.
char some_object(const std::vector<Record>& records, std::minstd_rand& random) {
  return static_cast<char>(random() % (records.size() + 1));
}

void change_folder(Record& folder, const std::vector<Record>& records, std::minstd_rand& random) {
  if (folder.entries.empty() || random() % 6 == 0) {
    folder.entries.push_back({.mode = static_cast<char>(random() % 8),
                              .name = std::string(kNames[random() % std::size(kNames)]),
                              .which = some_object(records, random)});
    return;
  }
  const std::size_t index = random() % folder.entries.size();
  Entry& entry = folder.entries[index];
  switch (random() % 6) {
    case 0: folder.entries.erase(folder.entries.begin() + static_cast<std::ptrdiff_t>(index)); break;
    case 1: entry.name = kNames[random() % std::size(kNames)]; break;
    case 2: change_text(entry.name); break;
    case 3: entry.which = some_object(records, random); break;
    default: entry.mode = static_cast<char>(random() % 8);
  }
}

void change_one(std::vector<Record>& records, std::minstd_rand& random) {
  if (records.empty()) {
    records.push_back({.letter = 't'});
    return;
  }
  const std::size_t index = random() % records.size();
  Record& record = records[index];
  switch (random() % 10) {
    case 0: records.erase(records.begin() + static_cast<std::ptrdiff_t>(index)); break;
    case 1: {
      Record copy = record;
      records.insert(records.begin() + static_cast<std::ptrdiff_t>(random() % (records.size() + 1)), std::move(copy));
      break;
    }
    case 2: records.push_back({.letter = 'c', .numbers = std::string(1, some_object(records, random))}); break;
    default:
      if (record.letter == 't') return change_folder(record, records, random);
      if (!record.numbers.empty() && random() % 2 == 0) {
        record.numbers[random() % record.numbers.size()] ^= static_cast<char>(1U << random() % 8);
      } else {
        change_text(record.text);
      }
  }
}

}  // namespace

extern "C" std::size_t LLVMFuzzerCustomMutator(std::uint8_t* data, std::size_t size, std::size_t limit,
                                               unsigned int seed) {
  std::minstd_rand random(seed);
  if (random() % 8 == 0) return LLVMFuzzerMutate(data, size, limit);
  std::vector<Record> records = parse({reinterpret_cast<const char*>(data), size});
  for (auto changes = 1 + random() % 3; changes > 0; --changes) change_one(records, random);
  const std::string changed = write(records);
  if (changed.empty() || changed.size() > limit) return LLVMFuzzerMutate(data, size, limit);
  std::memcpy(data, changed.data(), changed.size());
  return changed.size();
}
