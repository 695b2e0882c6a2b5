#pragma once

#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>

#include "shim/metrics/histogram.h"

namespace dstack::shim::metrics {

// Prometheus' text format, version 0.0.4, put together line by line.
class Exposition {
 public:
  static constexpr std::string_view content_type = "text/plain; version=0.0.4; charset=utf-8";

  using Labels = std::initializer_list<std::pair<std::string_view, std::string_view>>;

  // The lines about one metric: first what it is, then its samples, before the next metric begins. `type` is
  // "counter", "gauge" or "histogram"; `help` is one line.
  void begin(std::string_view name, std::string_view type, std::string_view help);
  // A sample of the metric that was begun last. Values of labels are quoted here.
  void sample(double value, Labels labels = {});
  void histogram(const Histogram& histogram);

  // A metric of one sample.
  void single(std::string_view name, std::string_view type, std::string_view help, double value);

  const std::string& text() const { return text_; }

 private:
  void line(std::string_view suffix, Labels labels, double value);

  std::string name_;
  std::string text_;
};

}  // namespace dstack::shim::metrics
