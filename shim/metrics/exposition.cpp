#include "shim/metrics/exposition.h"

#include <format>

namespace dstack::shim::metrics {

namespace {

// The shortest text that reads as the same number; whole ones without an exponent, as a person writes them.
std::string number(double value) {
  constexpr double exact = 9007199254740992;  // 2^53
  if (value > -exact && value < exact && value == static_cast<double>(static_cast<long long>(value)))
    return std::format("{}", static_cast<long long>(value));
  return std::format("{}", value);
}

std::string quoted(std::string_view value) {
  std::string text = "\"";
  for (const char c : value) {
    if (c == '\n') {
      text += "\\n";
      continue;
    }
    if (c == '"' || c == '\\') text += '\\';
    text += c;
  }
  return text + '"';
}

}  // namespace

void Exposition::begin(std::string_view name, std::string_view type, std::string_view help) {
  name_ = name;
  text_ += std::format("# HELP {} {}\n# TYPE {} {}\n", name, help, name, type);
}

void Exposition::sample(double value, Labels labels) { line("", labels, value); }

void Exposition::histogram(const Histogram& histogram) {
  const auto counts = histogram.cumulative();
  for (std::size_t i = 0; i < histogram.bounds().size(); ++i) {
    line("_bucket", {{"le", number(histogram.bounds()[i])}}, static_cast<double>(counts[i]));
  }
  line("_bucket", {{"le", "+Inf"}}, static_cast<double>(counts.back()));
  line("_sum", {}, histogram.sum());
  line("_count", {}, static_cast<double>(counts.back()));
}

void Exposition::single(std::string_view name, std::string_view type, std::string_view help, double value) {
  begin(name, type, help);
  sample(value);
}

void Exposition::line(std::string_view suffix, Labels labels, double value) {
  text_ += name_;
  text_ += suffix;
  char before = '{';
  for (const auto& [label, content] : labels) {
    text_ += before;
    text_ += label;
    text_ += '=';
    text_ += quoted(content);
    before = ',';
  }
  if (before == ',') text_ += '}';
  text_ += std::format(" {}\n", number(value));
}

}  // namespace dstack::shim::metrics
