// Asks for the same over and over, on connections that stay:
//   bench_requests PORT PATH CONNECTIONS SECONDS
// Prints "MEDIAN RATE": the median nanoseconds of a request, and requests in a second.

#include <sys/epoll.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <map>
#include <print>
#include <string>
#include <string_view>
#include <vector>

#include "tests/bench/programs/tcp.h"

namespace {

// Whether an answer is whole, by its length or by its last chunk.
bool whole(std::string_view answer) {
  const std::size_t head = answer.find("\r\n\r\n");
  if (head == std::string_view::npos) return false;
  if (const auto length = content_length(answer.substr(0, head))) return answer.size() == head + 4 + *length;
  return answer.ends_with("\r\n0\r\n\r\n");
}

}  // namespace

int main(int count, char** arguments) {
  if (count != 5) return 2;
  const std::string request = "GET " + std::string(arguments[2]) + " HTTP/1.1\r\nHost: x\r\n\r\n";
  const int epoll = ::epoll_create1(EPOLL_CLOEXEC);
  struct Asked {
    std::int64_t time = 0;
    std::string answer;
  };
  std::map<int, Asked> asked;
  const auto ask = [&](int connection) {
    Asked& state = asked[connection];
    state.answer.clear();
    state.time = now_ns();
    send_all(connection, request);
  };
  const std::int64_t start = now_ns();
  for (int i = 0; i < std::atoi(arguments[3]); ++i) {
    const int connection = connect_to(std::atoi(arguments[1]));
    epoll_event event{.events = EPOLLIN, .data = {.fd = connection}};
    if (::epoll_ctl(epoll, EPOLL_CTL_ADD, connection, &event) != 0) fail("epoll_ctl");
    ask(connection);
  }
  const std::int64_t end = start + static_cast<std::int64_t>(std::atof(arguments[4]) * 1e9);
  std::vector<std::int64_t> times;
  std::array<epoll_event, 64> events{};
  std::array<char, 65536> buffer{};
  while (now_ns() < end) {
    const int ready = ::epoll_wait(epoll, events.data(), static_cast<int>(events.size()), 1000);
    for (int i = 0; i < ready; ++i) {
      const int connection = events[static_cast<std::size_t>(i)].data.fd;
      const ssize_t size = ::recv(connection, buffer.data(), buffer.size(), 0);
      if (size <= 0) fail("no answer");
      Asked& state = asked[connection];
      state.answer.append(buffer.data(), static_cast<std::size_t>(size));
      if (!whole(state.answer)) continue;
      if (!state.answer.starts_with("HTTP/1.1 200")) fail("not an answer with 200");
      times.push_back(now_ns() - state.time);
      ask(connection);
    }
  }
  if (times.empty()) return 1;
  const auto middle = times.begin() + static_cast<std::ptrdiff_t>(times.size() / 2);
  std::nth_element(times.begin(), middle, times.end());
  std::println("{} {:.0f}", *middle, static_cast<double>(times.size()) / (static_cast<double>(now_ns() - start) / 1e9));
  return 0;
}
