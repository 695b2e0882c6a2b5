#pragma once

#include <spdlog/spdlog.h>
#include <filesystem>
#include <optional>
#include <string_view>

namespace dstack::log {

// "fatal error warn warning info debug trace" in any letter case, or one digit 1 (fatal) … 6 (trace); nothing for
// anything else.
std::optional<spdlog::level::level_enum> parse_level(std::string_view name);

enum class Stream { standard_output, standard_error };

// Sets up the process's one logger, which is spdlog's default: to the stream and, where given, appended to `file`,
// rotated at 3 × 10 MB. Call it once from main; throws Error if the file cannot be opened. Where the stream is the
// journal's, its lines carry a priority instead of time and level, which the journal keeps by itself.
void set_up(spdlog::level::level_enum level, Stream stream, const std::optional<std::filesystem::path>& file);

// A log file that is rotated as set_up()'s is. Throws Error if it cannot be opened.
spdlog::sink_ptr rotating_file(const std::filesystem::path& file);

// Adds a place that everything is logged to from now on; removed by its owner with remove_sink.
void add_sink(spdlog::sink_ptr sink);
void remove_sink(const spdlog::sink_ptr& sink);

}  // namespace dstack::log
