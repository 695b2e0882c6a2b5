#pragma once

#include <functional>
#include <memory>
#include <string>

#include "shim/dcgm/abi.h"
#include "shim/dcgm/health_report.h"

namespace dstack::shim::dcgm {

// libdcgm, opened at run time. It starts threads of its own, may hang, and may take the process down with it: use it in
// a process that may be lost (helper.h). Never closed. Not thread-safe.
class Library {
 public:
  // Opens libdcgm.so.4 or else libdcgm.so.3. Throws Error (not_found) if there is neither, unavailable if it is not
  // what it is called.
  Library();
  Library(const Library&) = delete;
  Library& operator=(const Library&) = delete;

  // Starts a host engine in this process, or connects to the one at `address` (a host with or without a port, or the
  // path of a socket), and switches all watches on. Throws Error (unavailable) with DCGM's own words.
  void start(const std::string& address);

  // What has been found since the last call. Throws Error (unavailable).
  HealthReport check();

 private:
  struct Close {
    // What it has started goes on.
    void operator()(void*) const {}
  };

  bool open(const char* name);
  template <typename Function>
  Function find(const char* name) const;
  void require(abi::Return result, const std::string& attempt) const;
  template <typename Response>
  HealthReport ask();

  std::unique_ptr<void, Close> library_;
  abi::Handle handle_ = 0;
  abi::HealthCheck health_check_ = nullptr;
  std::function<HealthReport()> ask_;
};

}  // namespace dstack::shim::dcgm
