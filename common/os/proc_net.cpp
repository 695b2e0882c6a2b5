#include "common/os/proc_net.h"

#include <arpa/inet.h>

#include <array>
#include <cstdint>
#include <format>
#include <optional>

#include "common/text/number.h"
#include "common/text/split.h"

namespace dstack::os {

namespace {

// "number: local remote state queues timer retransmissions uid timeout inode …"
std::optional<TcpEntry> parse_tcp_line(std::string_view line) {
  constexpr std::size_t kInode = 9;
  const auto words = text::split_words(line);
  if (words.size() <= kInode) return std::nullopt;
  const std::size_t colon = words[1].rfind(':');
  if (colon == std::string_view::npos) return std::nullopt;
  const auto port = text::parse_number<std::uint16_t>(words[1].substr(colon + 1), 16);
  if (!port) return std::nullopt;
  return TcpEntry{
      .local = words[1], .remote = words[2], .state = words[3], .inode = words[kInode], .local_port = *port};
}

}  // namespace

std::vector<TcpEntry> parse_proc_net_tcp(std::string_view text) {
  std::vector<TcpEntry> entries;
  while (!text.empty()) {
    if (const auto entry = parse_tcp_line(text::take_line(text))) entries.push_back(*entry);
  }
  return entries;
}

std::vector<std::string> proc_net_names(const TcpEnd& end) {
  std::array<std::uint32_t, 4> words{};
  if (::inet_pton(AF_INET, end.address.c_str(), &words[0]) == 1) {
    const std::uint32_t mapped = htonl(0xffff);
    return {std::format("{:08X}:{:04X}", words[0], end.port),
            std::format("{:08X}{:08X}{:08X}{:08X}:{:04X}", 0, 0, mapped, words[0], end.port)};
  }
  if (::inet_pton(AF_INET6, end.address.c_str(), words.data()) != 1) return {};
  return {std::format("{:08X}{:08X}{:08X}{:08X}:{:04X}", words[0], words[1], words[2], words[3], end.port)};
}

}  // namespace dstack::os
