/*
 * Calls the shim's API in ways by which a caller may hide who it is, and counts the answers:
 *
 *   callers WAY PORT TIMES [SOCKET]
 *
 * prints "STATUS COUNT" lines, or "unavailable REASON" where this kernel or container does not have the way.
 *
 *   plain       an ordinary socket
 *   mptcp       Multipath TCP, whose inner socket no process has open
 *   io_uring    a socket that is made, connected and used by io_uring alone, and never is a descriptor
 *   queued      the descriptor lies in a Unix socket's queue while the request is looked at, and in no process
 *   inherited   a child has the socket, its parent that made it is gone
 *   namespaces  in process, mount, IPC and cgroup namespaces of its own
 *   passed_out  made here, and passed to the process that listens on the Unix socket SOCKET, which prints the answers
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <linux/io_uring.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef IPPROTO_MPTCP
#define IPPROTO_MPTCP 262
#endif

static const char request[] = "GET /api/tasks HTTP/1.0\r\nHost: x\r\n\r\n";
static struct sockaddr_in shim;
static int counts[1000];

static void unavailable(const char* what) {
  printf("unavailable %s: %s\n", what, strerror(errno));
  exit(0);
}

static int made_socket(int protocol) {
  int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, protocol);
  if (fd < 0) unavailable("socket");
  if (connect(fd, (struct sockaddr*)&shim, sizeof shim) != 0) unavailable("connect");
  return fd;
}

static void send_request(int fd) {
  if (write(fd, request, sizeof request - 1) != (ssize_t)sizeof request - 1) unavailable("write");
}

/* "HTTP/1.0 403 ..." */
static int status_in(const char* answer, ssize_t size) { return size >= 12 ? atoi(answer + 9) % 1000 : 0; }

static void count_answer(int fd) {
  char answer[64] = "";
  ssize_t size = 0, more;
  while (size < 12 && (more = read(fd, answer + size, sizeof answer - 1 - (size_t)size)) > 0) size += more;
  counts[status_in(answer, size)]++;
  close(fd);
}

static void pass(int channel, int fd) {
  char byte = 0, control[CMSG_SPACE(sizeof fd)] = "";
  struct iovec data = {&byte, 1};
  struct msghdr message = {.msg_iov = &data, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
  struct cmsghdr* header = CMSG_FIRSTHDR(&message);
  header->cmsg_level = SOL_SOCKET;
  header->cmsg_type = SCM_RIGHTS;
  header->cmsg_len = CMSG_LEN(sizeof fd);
  memcpy(CMSG_DATA(header), &fd, sizeof fd);
  if (sendmsg(channel, &message, 0) != 1) unavailable("sendmsg");
  close(fd);
}

static int take(int channel) {
  char byte, control[CMSG_SPACE(sizeof(int))] = "";
  struct iovec data = {&byte, 1};
  struct msghdr message = {.msg_iov = &data, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
  int fd = -1;
  if (recvmsg(channel, &message, 0) != 1 || !CMSG_FIRSTHDR(&message)) unavailable("recvmsg");
  memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof fd);
  return fd;
}

static void call_queued(void) {
  int channel[2], fd = made_socket(0);
  if (socketpair(AF_UNIX, SOCK_STREAM, 0, channel) != 0) unavailable("socketpair");
  send_request(fd);
  pass(channel[0], fd);
  poll(NULL, 0, 5); /* ms, in which the shim looks */
  count_answer(take(channel[1]));
  close(channel[0]);
  close(channel[1]);
}

/* Counts in a file that both have. */
static void call_inherited(void) {
  int channel[2];
  if (pipe(channel) != 0) unavailable("pipe");
  pid_t owner = fork();
  if (owner == 0) {
    int fd = made_socket(0);
    if (fork() == 0) {
      char gone, answer[64] = "";
      close(channel[1]);
      ssize_t size = read(channel[0], &gone, 1); /* ends when the owner does */
      send_request(fd);
      while (size < 12) {
        ssize_t more = read(fd, answer + size, sizeof answer - 1 - (size_t)size);
        if (more <= 0) break;
        size += more;
      }
      _exit(status_in(answer, size) / 4); /* 50 for 200, 100 for 403: an exit status has 8 bits */
    }
    _exit(0);
  }
  waitpid(owner, NULL, 0);
  close(channel[1]);
  int status = 0;
  wait(&status); /* the child, which is this process's own now */
  close(channel[0]);
  counts[WEXITSTATUS(status) * 4 >= 400 ? 403 : WEXITSTATUS(status) * 4]++;
}

struct ring {
  int fd;
  unsigned *submit_tail, *submit_mask, *submit_array, *done_head, *done_tail, *done_mask;
  struct io_uring_sqe* entries;
  struct io_uring_cqe* done;
};

static struct ring open_ring(void) {
  struct io_uring_params params = {0};
  struct ring ring = {.fd = (int)syscall(SYS_io_uring_setup, 4, &params)};
  if (ring.fd < 0) unavailable("io_uring_setup");
  const size_t size = 65536;
  char* submit = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, ring.fd, IORING_OFF_SQ_RING);
  char* done = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, ring.fd, IORING_OFF_CQ_RING);
  if (submit == MAP_FAILED) submit = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, ring.fd, IORING_OFF_SQ_RING);
  if (done == MAP_FAILED) done = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, ring.fd, IORING_OFF_CQ_RING);
  ring.entries = mmap(NULL, 4 * sizeof *ring.entries, PROT_READ | PROT_WRITE, MAP_SHARED, ring.fd, IORING_OFF_SQES);
  if (submit == MAP_FAILED || done == MAP_FAILED || (void*)ring.entries == MAP_FAILED) unavailable("mmap");
  ring.submit_tail = (unsigned*)(submit + params.sq_off.tail);
  ring.submit_mask = (unsigned*)(submit + params.sq_off.ring_mask);
  ring.submit_array = (unsigned*)(submit + params.sq_off.array);
  ring.done_head = (unsigned*)(done + params.cq_off.head);
  ring.done_tail = (unsigned*)(done + params.cq_off.tail);
  ring.done_mask = (unsigned*)(done + params.cq_off.ring_mask);
  ring.done = (struct io_uring_cqe*)(done + params.cq_off.cqes);
  int none = -1;
  if (syscall(SYS_io_uring_register, ring.fd, IORING_REGISTER_FILES, &none, 1) != 0) unavailable("io_uring_register");
  return ring;
}

/* One operation on the ring's only file; its result. */
static int perform(struct ring* ring, struct io_uring_sqe entry) {
  unsigned tail = *ring->submit_tail, at = tail & *ring->submit_mask;
  ring->entries[at] = entry;
  ring->submit_array[at] = at;
  __atomic_store_n(ring->submit_tail, tail + 1, __ATOMIC_RELEASE);
  if (syscall(SYS_io_uring_enter, ring->fd, 1, 1, IORING_ENTER_GETEVENTS, NULL, 0) < 0) unavailable("io_uring_enter");
  unsigned head = *ring->done_head;
  int result = ring->done[head & *ring->done_mask].res;
  __atomic_store_n(ring->done_head, head + 1, __ATOMIC_RELEASE);
  return result;
}

static void expect(int result, const char* what) {
  if (result >= 0) return;
  errno = -result;
  unavailable(what);
}

static void call_io_uring(void) {
  static struct ring ring;
  static int open;
  char answer[64] = "";
  if (!open++) ring = open_ring();
  expect(perform(&ring,
                 (struct io_uring_sqe){.opcode = IORING_OP_SOCKET, .fd = AF_INET, .off = SOCK_STREAM, .file_index = 1}),
         "IORING_OP_SOCKET");
  expect(perform(
             &ring,
             (struct io_uring_sqe){
                 .opcode = IORING_OP_CONNECT, .flags = IOSQE_FIXED_FILE, .addr = (uintptr_t)&shim, .off = sizeof shim}),
         "IORING_OP_CONNECT");
  expect(perform(&ring, (struct io_uring_sqe){.opcode = IORING_OP_SEND,
                                              .flags = IOSQE_FIXED_FILE,
                                              .addr = (uintptr_t)request,
                                              .len = sizeof request - 1}),
         "IORING_OP_SEND");
  int size = perform(
      &ring,
      (struct io_uring_sqe){
          .opcode = IORING_OP_RECV, .flags = IOSQE_FIXED_FILE, .addr = (uintptr_t)answer, .len = sizeof answer - 1});
  counts[status_in(answer, size)]++;
  expect(perform(&ring, (struct io_uring_sqe){.opcode = IORING_OP_CLOSE, .file_index = 1}), "IORING_OP_CLOSE");
}

static void call_plain(void) {
  int fd = made_socket(0);
  send_request(fd);
  count_answer(fd);
}

static void call_mptcp(void) {
  int fd = made_socket(IPPROTO_MPTCP);
  send_request(fd);
  count_answer(fd);
}

static const char* outside;
static void call_passed_out(void) {
  static int channel = -1;
  if (channel < 0) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    strncpy(address.sun_path, outside, sizeof address.sun_path - 1);
    channel = socket(AF_UNIX, SOCK_STREAM, 0);
    if (connect(channel, (struct sockaddr*)&address, sizeof address) != 0) unavailable("connect");
  }
  pass(channel, made_socket(0));
}

int main(int count, char** arguments) {
  static const struct {
    const char* name;
    void (*call)(void);
  } ways[] = {{"plain", call_plain},          {"mptcp", call_mptcp},         {"io_uring", call_io_uring},
              {"queued", call_queued},        {"inherited", call_inherited}, {"namespaces", call_plain},
              {"passed_out", call_passed_out}};
  if (count < 4) return 2;
  const char* way = arguments[1];
  shim = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(arguments[2]))};
  shim.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  outside = count > 4 ? arguments[4] : "";
  /* Orphans become this process's children. */
  syscall(SYS_prctl, 36 /* PR_SET_CHILD_SUBREAPER */, 1, 0, 0, 0);
  if (strcmp(way, "namespaces") == 0) {
    if (unshare(CLONE_NEWPID | CLONE_NEWNS | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWCGROUP) != 0)
      unavailable("unshare");
    pid_t inside = fork();
    if (inside > 0) {
      waitpid(inside, NULL, 0);
      return 0;
    }
  }
  for (size_t i = 0; i < sizeof ways / sizeof *ways; i++)
    if (strcmp(way, ways[i].name) == 0)
      for (int left = atoi(arguments[3]); left > 0; left--) ways[i].call();
  for (int status = 0; status < 1000; status++)
    if (counts[status] > 0) printf("%d %d\n", status, counts[status]);
  return 0;
}
