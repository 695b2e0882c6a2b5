#include "runner/job/terminal.h"

#include <fcntl.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <format>

#include "common/error.h"
#include "common/os/file.h"

namespace dstack::runner::job {

namespace {

// Kernel interfaces that older C libraries have no names for.
constexpr unsigned long kOpenPeer = _IO('T', 0x41);          // TIOCGPTPEER
constexpr unsigned long kSendSignal = _IOW('T', 0x36, int);  // TIOCSIG

// ioctl's second parameter is an int in one C library and an unsigned long in the other.
template <typename Request>
int control_by(int (*function)(int, Request, ...), int fd, unsigned long request, auto argument) {
  return function(fd, static_cast<Request>(request), argument);
}
int control(int fd, unsigned long request, auto argument) { return control_by(::ioctl, fd, request, argument); }

os::UniqueFd open_ours() {
  os::UniqueFd fd(::open("/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC | O_NONBLOCK));
  // Some containers have the one in the mount only.
  if (!fd && errno == ENOENT) fd.reset(::open("/dev/pts/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC | O_NONBLOCK));
  if (!fd) throw os_error("open a pseudo-terminal through", "/dev/ptmx");
  return fd;
}

os::UniqueFd open_jobs(int ours) {
  const int unlocked = 0;
  if (control(ours, TIOCSPTLCK, &unlocked) != 0) throw os_error("unlock", "a pseudo-terminal");
  // Without a look at /dev/pts, which may be another mount than /dev/ptmx belongs to.
  os::UniqueFd fd(control(ours, kOpenPeer, O_RDWR | O_NOCTTY | O_CLOEXEC));
  if (fd) return fd;
  unsigned number = 0;
  if (control(ours, TIOCGPTN, &number) != 0) throw os_error("ask for the number of", "a pseudo-terminal");
  return os::open_file(std::format("/dev/pts/{}", number), O_RDWR | O_NOCTTY);
}

}  // namespace

Terminal::Terminal() : ours_(open_ours()), jobs_(open_jobs(ours_.get())) {
  // At 0×0, as the kernel makes it, progress bars draw nothing.
  const winsize size{.ws_row = 24, .ws_col = 80, .ws_xpixel = 0, .ws_ypixel = 0};
  if (control(ours_.get(), TIOCSWINSZ, &size) != 0) throw os_error("set the size of", "a pseudo-terminal");
}

void Terminal::give_to(os::UserId user) {
  if (::fchown(jobs_.get(), user, static_cast<gid_t>(-1)) != 0)
    throw os_error("change the owner of", "the job's terminal");
}

void Terminal::interrupt() {
  termios settings{};
  if (::tcgetattr(ours_.get(), &settings) == 0 && settings.c_cc[VINTR] != _POSIX_VDISABLE) {
    // Without this the kernel throws away what the job wrote and nobody has read yet.
    settings.c_lflag |= NOFLSH;
    ::tcsetattr(ours_.get(), TCSANOW, &settings);
    const char character = static_cast<char>(settings.c_cc[VINTR]);
    if (::write(ours_.get(), &character, 1) == 1) return;
  }
  // The input queue is full, say. There may be no foreground process: then there is nobody to tell.
  control(ours_.get(), kSendSignal, SIGINT);
}

}  // namespace dstack::runner::job
