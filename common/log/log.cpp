#include "common/log/log.h"

#include <spdlog/pattern_formatter.h>
#include <spdlog/sinks/dist_sink.h>
#include <spdlog/sinks/rotating_file_sink.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <cstdlib>
#include <format>
#include <memory>
#include <string>

#include "common/error.h"
#include "common/text/escape.h"
#include "common/text/letter_case.h"

namespace dstack::log {

namespace {

constexpr std::size_t kFileLimit = 10 << 20;
constexpr std::size_t kRotatedFiles = 2;  // beside the current one

// All sinks hang under this one, so that they can be changed while other threads log.
std::shared_ptr<spdlog::sinks::dist_sink_mt>& sinks() {
  static auto instance = std::make_shared<spdlog::sinks::dist_sink_mt>();
  return instance;
}

// The service manager names the stream that it made, so that a program whose output goes elsewhere is not misled.
bool is_journal(int stream) {
  struct stat found{};
  const char* journal = std::getenv("JOURNAL_STREAM");
  return journal != nullptr && ::fstat(stream, &found) == 0 &&
         std::format("{}:{}", found.st_dev, found.st_ino) == journal;
}

// A level as syslog's number in angle brackets, which the journal takes off the line again.
class Priority : public spdlog::custom_flag_formatter {
 public:
  void format(const spdlog::details::log_msg& message, const std::tm&, spdlog::memory_buf_t& to) override {
    using enum spdlog::level::level_enum;
    char number = '7';
    if (message.level == critical) number = '2';
    if (message.level == err) number = '3';
    if (message.level == warn) number = '4';
    if (message.level == info) number = '6';
    to.append(std::string_view("<"));
    to.push_back(number);
    to.append(std::string_view(">"));
  }
  std::unique_ptr<custom_flag_formatter> clone() const override { return std::make_unique<Priority>(); }
};

// The text of a message as one line that moves no cursor, whoever's words are in it.
class Text : public spdlog::custom_flag_formatter {
 public:
  void format(const spdlog::details::log_msg& message, const std::tm&, spdlog::memory_buf_t& to) override {
    to.append(text::escape_controls({message.payload.data(), message.payload.size()}));
  }
  std::unique_ptr<custom_flag_formatter> clone() const override { return std::make_unique<Text>(); }
};

std::unique_ptr<spdlog::formatter> formatter(std::string pattern) {
  auto lines = std::make_unique<spdlog::pattern_formatter>();
  lines->add_flag<Priority>('*').add_flag<Text>('&').set_pattern(std::move(pattern));
  return lines;
}

// Local time with its offset from UTC: a log is read beside other logs of the host.
constexpr const char* kLinePattern = "%Y-%m-%dT%H:%M:%S.%e%z %l %&";

}  // namespace

std::optional<spdlog::level::level_enum> parse_level(std::string_view name) {
  const std::string lower = text::lower_case(name);
  using enum spdlog::level::level_enum;
  if (lower == "fatal" || lower == "1") return critical;
  if (lower == "error" || lower == "2") return err;
  if (lower == "warn" || lower == "warning" || lower == "3") return warn;
  if (lower == "info" || lower == "4") return info;
  if (lower == "debug" || lower == "5") return debug;
  if (lower == "trace" || lower == "6") return trace;
  return std::nullopt;
}

spdlog::sink_ptr rotating_file(const std::filesystem::path& file) {
  try {
    return std::make_shared<spdlog::sinks::rotating_file_sink_mt>(file.string(), kFileLimit, kRotatedFiles);
  } catch (const spdlog::spdlog_ex& error) {
    throw Error(ErrorKind::internal, error.what());
  }
}

void set_up(spdlog::level::level_enum level, Stream stream, const std::optional<std::filesystem::path>& file) {
  std::vector<spdlog::sink_ptr> all;
  if (stream == Stream::standard_error) {
    all.push_back(std::make_shared<spdlog::sinks::stderr_sink_mt>());
  } else {
    all.push_back(std::make_shared<spdlog::sinks::stdout_sink_mt>());
  }
  if (file) all.push_back(rotating_file(*file));
  sinks()->set_sinks(std::move(all));
  auto logger = std::make_shared<spdlog::logger>("dstack", sinks());
  logger->set_level(level);
  logger->set_formatter(formatter(kLinePattern));
  logger->flush_on(spdlog::level::trace);
  if (is_journal(stream == Stream::standard_error ? STDERR_FILENO : STDOUT_FILENO)) {
    sinks()->sinks().front()->set_formatter(formatter("%*%&"));
  }
  spdlog::set_default_logger(std::move(logger));
}

void add_sink(spdlog::sink_ptr sink) {
  sink->set_formatter(formatter(kLinePattern));
  sinks()->add_sink(std::move(sink));
}

void remove_sink(const spdlog::sink_ptr& sink) { sinks()->remove_sink(sink); }

}  // namespace dstack::log
