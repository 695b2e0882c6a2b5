#include "common/os/tcp_sockets.h"

#include <arpa/inet.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <cstring>

#include "common/os/unique_fd.h"

namespace dstack::os {

namespace {

using Failure = std::unexpected<std::error_code>;

constexpr std::uint32_t kSequence = 1;

struct Query {
  nlmsghdr header;
  inet_diag_req_v2 request;
};

Failure failure(int code) { return Failure(std::error_code(code, std::generic_category())); }

// Writes the address where sock_diag wants it; its family, 0 if it is none.
int fill(const std::string& text, __be32 (&target)[4]) {
  in_addr four{};
  if (::inet_pton(AF_INET, text.c_str(), &four) == 1) {
    target[0] = four.s_addr;
    return AF_INET;
  }
  in6_addr six{};
  if (::inet_pton(AF_INET6, text.c_str(), &six) != 1) return 0;
  if (IN6_IS_ADDR_V4MAPPED(&six)) {
    std::memcpy(&target[0], &six.s6_addr[12], 4);
    return AF_INET;
  }
  std::memcpy(target, &six, sizeof six);
  return AF_INET6;
}

std::optional<Query> make_query(const TcpEnd& own, const TcpEnd& other) {
  Query query{};
  query.header = {.nlmsg_len = sizeof query,
                  .nlmsg_type = SOCK_DIAG_BY_FAMILY,
                  .nlmsg_flags = NLM_F_REQUEST,
                  .nlmsg_seq = kSequence,
                  .nlmsg_pid = 0};
  inet_diag_sockid& id = query.request.id;
  const int family = fill(own.address, id.idiag_src);
  if (family == 0 || fill(other.address, id.idiag_dst) != family) return std::nullopt;
  id.idiag_sport = htons(static_cast<std::uint16_t>(own.port));
  id.idiag_dport = htons(static_cast<std::uint16_t>(other.port));
  id.idiag_cookie[0] = id.idiag_cookie[1] = INET_DIAG_NOCOOKIE;
  query.request.sdiag_family = static_cast<__u8>(family);
  query.request.sdiag_protocol = IPPROTO_TCP;
  query.request.idiag_states = ~0U;
  return query;
}

// Not const for the sake of the macros' casts.
std::expected<TcpSocket, std::error_code> read_answer(inet_diag_msg* message, std::size_t size) {
  // Where the connection is gone, the kernel looks for whoever listens on the port.
  if (message->idiag_state == TCP_LISTEN) return failure(ENOENT);
  TcpSocket socket{.inode = message->idiag_inode, .cgroup_id = std::nullopt};
  auto left = static_cast<int>(size - NLMSG_ALIGN(sizeof *message));
  auto* attribute = reinterpret_cast<rtattr*>(reinterpret_cast<char*>(message) + NLMSG_ALIGN(sizeof *message));
  while (RTA_OK(attribute, left)) {
    if (attribute->rta_type == INET_DIAG_CGROUP_ID && RTA_PAYLOAD(attribute) == sizeof(std::uint64_t)) {
      std::uint64_t id = 0;
      std::memcpy(&id, RTA_DATA(attribute), sizeof id);
      socket.cgroup_id = id;
    }
    attribute = RTA_NEXT(attribute, left);
  }
  return socket;
}

UniqueFd tcp_socket() { return UniqueFd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)); }

TcpEnd end_of(int socket, int (*ask)(int, sockaddr*, socklen_t*)) {
  sockaddr_in address{};
  socklen_t size = sizeof address;
  ask(socket, reinterpret_cast<sockaddr*>(&address), &size);
  return {.address = "127.0.0.1", .port = ntohs(address.sin_port)};
}

}  // namespace

std::expected<TcpSocket, std::error_code> find_tcp_socket(const TcpEnd& own, const TcpEnd& other) {
  const std::optional<Query> query = make_query(own, other);
  if (!query) return failure(EINVAL);
  const UniqueFd kernel(::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG));
  if (!kernel) return failure(errno);
  const sockaddr_nl address{.nl_family = AF_NETLINK, .nl_pad = 0, .nl_pid = 0, .nl_groups = 0};
  if (::sendto(kernel.get(), &*query, sizeof *query, 0, reinterpret_cast<const sockaddr*>(&address), sizeof address) <
      0)
    return failure(errno);

  // The kernel has answered by the time it has taken the question.
  alignas(nlmsghdr) std::array<char, 8192> buffer{};
  const ssize_t count = ::recv(kernel.get(), buffer.data(), buffer.size(), MSG_DONTWAIT);
  if (count < 0) return failure(errno);
  auto* header = reinterpret_cast<nlmsghdr*>(buffer.data());
  if (!NLMSG_OK(header, static_cast<std::size_t>(count)) || header->nlmsg_seq != kSequence) return failure(EBADMSG);
  const std::size_t size = header->nlmsg_len - NLMSG_HDRLEN;
  if (header->nlmsg_type == NLMSG_ERROR && size >= sizeof(nlmsgerr))
    return failure(-static_cast<const nlmsgerr*>(NLMSG_DATA(header))->error);
  if (header->nlmsg_type != SOCK_DIAG_BY_FAMILY || size < sizeof(inet_diag_msg)) return failure(EBADMSG);
  return read_answer(static_cast<inet_diag_msg*>(NLMSG_DATA(header)), size);
}

std::expected<TcpSocket, std::error_code> try_tcp_look_up() {
  const UniqueFd listener = tcp_socket();
  const UniqueFd client = tcp_socket();
  if (!listener || !client) return failure(errno);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  const auto* any_port = reinterpret_cast<const sockaddr*>(&address);
  if (::bind(listener.get(), any_port, sizeof address) != 0 || ::listen(listener.get(), 1) != 0) return failure(errno);
  const TcpEnd server = end_of(listener.get(), ::getsockname);
  address.sin_port = htons(static_cast<std::uint16_t>(server.port));
  // On the loopback interface the handshake is done when connect() returns, or under way at least: either is found.
  if (::connect(client.get(), any_port, sizeof address) != 0 && errno != EINPROGRESS) return failure(errno);
  return find_tcp_socket(end_of(client.get(), ::getsockname), server);
}

}  // namespace dstack::os
