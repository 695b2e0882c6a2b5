#include "shim/doctor/report.h"

#include <algorithm>
#include <format>
#include <nlohmann/json.hpp>

#include "common/json/dump.h"
#include "common/text/escape.h"

namespace dstack::shim::doctor {

namespace {

std::string_view colour_of(Verdict verdict) {
  switch (verdict) {
    case Verdict::ok: return "\033[32m";
    case Verdict::warning: return "\033[33m";
    case Verdict::broken: break;
  }
  return "\033[31m";
}

std::ptrdiff_t count(const Examination& examination, Verdict verdict) {
  return std::ranges::count_if(examination.results,
                               [verdict](const Result& result) { return result.finding.verdict == verdict; });
}

}  // namespace

std::string as_text(const Examination& examination, bool colours) {
  std::size_t width = 0;
  for (const Result& result : examination.results) width = std::max(width, result.check.size());
  std::string report;
  for (const auto& [check, finding] : examination.results) {
    const std::string verdict = std::format("{:<7}", name_of(finding.verdict));
    report += colours ? std::format("{}{}\033[0m", colour_of(finding.verdict), verdict) : verdict;
    // What engines and tools say is in there.
    report += std::format("  {:<{}}  {}\n", check, width, text::escape_controls(finding.found));
    if (!finding.remedy.empty())
      report += std::format("{:{}}→ {}\n", "", width + 11, text::escape_controls(finding.remedy));
  }
  return report;
}

std::string as_json(const Examination& examination) {
  using nlohmann::json;
  json checks = json::array();
  for (const auto& [check, finding] : examination.results) {
    checks.push_back({{"name", check},
                      {"verdict", name_of(finding.verdict)},
                      {"found", finding.found},
                      {"remedy", finding.remedy.empty() ? json() : json(finding.remedy)}});
  }
  const json report = {{"broken", count(examination, Verdict::broken)},
                       {"warnings", count(examination, Verdict::warning)},
                       {"checks", std::move(checks)}};
  // What a tool said may be any bytes.
  return dstack::json::dump(report, 2, true) + "\n";
}

}  // namespace dstack::shim::doctor
