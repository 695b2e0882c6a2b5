#include "shim/ci/lines.h"

#include <spdlog/sinks/sink.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include <format>
#include <nlohmann/json.hpp>

#include "common/json/dump.h"
#include "common/os/file.h"
#include "common/os/mutex.h"
#include "common/server_api/time.h"
#include "common/text/escape.h"

namespace dstack::shim::ci {

namespace {

std::string_view name_of(spdlog::level::level_enum level) {
  if (level >= spdlog::level::err) return "error";
  if (level == spdlog::level::warn) return "warning";
  return level == spdlog::level::info ? "info" : "debug";
}

std::string as_text(const nlohmann::json& value) {
  return value.is_string() ? text::escape_controls(value.get<std::string>()) : dstack::json::dump(value);
}

}  // namespace

nlohmann::json id_json(const std::string& id) {
  const nlohmann::json number = nlohmann::json::parse(id, nullptr, false);
  return number.is_number_integer() ? number : nlohmann::json(id);
}

class Lines::Sink final : public spdlog::sinks::sink {
 public:
  Sink(LogFormat format, std::string repo, os::Clock& clock) : format_(format), repo_(std::move(repo)), clock_(clock) {}

  void status(std::string_view status, const nlohmann::json& fields) { write("info", "status", status, fields); }

  void log(const spdlog::details::log_msg& message) override {
    write(name_of(message.level), "message", {message.payload.data(), message.payload.size()},
          nlohmann::json::object());
  }
  void flush() override {}
  void set_pattern(const std::string&) override {}
  void set_formatter(std::unique_ptr<spdlog::formatter>) override {}

 private:
  void write(std::string_view level, const char* key, std::string_view value, const nlohmann::json& fields) {
    std::string line;
    if (format_ == LogFormat::json) {
      nlohmann::json object = {{"level", level}, {"date", server_api::rfc3339(clock_.wall())}, {"repo", repo_}};
      object[key] = value;
      object.update(fields);
      line = dstack::json::dump(object);
    } else {
      line = std::format("{} {} {}", server_api::rfc3339(clock_.wall()), level, text::escape_controls(value));
      for (const auto& [name, field] : fields.items()) line += std::format(" {}={}", name, as_text(field));
    }
    line += '\n';
    const os::Lock lock(mutex_);
    try {
      os::write_all(STDERR_FILENO, line, "standard error");
    } catch (const std::exception&) {  // who read it has gone; the runner goes on
    }
  }

  const LogFormat format_;
  const std::string repo_;
  os::Clock& clock_;
  os::Mutex mutex_;  // lines are written whole
};

Lines::Lines(std::optional<LogFormat> format, std::string repo, os::Clock& clock)
    : sink_(std::make_shared<Sink>(format.value_or(::isatty(STDERR_FILENO) != 0 ? LogFormat::text : LogFormat::json),
                                   std::move(repo), clock)) {
  auto logger = std::make_shared<spdlog::logger>("dstack", sink_);
  logger->set_level(spdlog::level::info);
  spdlog::set_default_logger(std::move(logger));
}

Lines::~Lines() = default;

void Lines::status(std::string_view status, const nlohmann::json& fields) { sink_->status(status, fields); }

}  // namespace dstack::shim::ci
