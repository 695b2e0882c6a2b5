#include "runner/job/exec_failure.h"

#include <elf.h>
#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdint>
#include <cstring>
#include <format>
#include <string>
#include <string_view>

#include "common/error.h"
#include "common/os/unique_fd.h"
#include "runner/job/program.h"

namespace dstack::runner::job {

namespace {

// The kernel's limit for one argument or variable, its end counted (MAX_ARG_STRLEN).
constexpr std::size_t kPagesOfOneString = 32;

#if defined(__x86_64__)
constexpr std::uint16_t kOwnMachine = EM_X86_64;
#elif defined(__aarch64__)
constexpr std::uint16_t kOwnMachine = EM_AARCH64;
#else
constexpr std::uint16_t kOwnMachine = EM_NONE;
#endif

std::string machine_name(std::uint16_t machine) {
  switch (machine) {
    case EM_X86_64: return "x86-64";
    case EM_AARCH64: return "arm64";
    case EM_386: return "32-bit x86";
    case EM_ARM: return "32-bit ARM";
    case EM_PPC64: return "POWER";
    case EM_S390: return "IBM Z";
    case EM_RISCV: return "RISC-V";
    default: return std::format("machine type {}", machine);
  }
}

// What keeps the kernel from taking the file for a program.
std::string describe_format(const std::filesystem::path& program) {
  std::array<unsigned char, 20> header{};
  const os::UniqueFd file(::open(program.c_str(), O_RDONLY | O_CLOEXEC));
  const ssize_t size = file ? ::read(file.get(), header.data(), header.size()) : 0;
  if (size == 0 && file) return "the file is empty";
  if (size < static_cast<ssize_t>(header.size()) || std::memcmp(header.data(), ELFMAG, SELFMAG) != 0) {
    return "it is neither a program for Linux nor a script whose first line begins with #!";
  }
  const bool big_endian = header[EI_DATA] == ELFDATA2MSB;
  const auto machine =
      static_cast<std::uint16_t>(big_endian ? header[18] << 8 | header[19] : header[19] << 8 | header[18]);
  if (machine == kOwnMachine || kOwnMachine == EM_NONE) return "its ELF header is not one that this kernel executes";
  return std::format("it is for {}, this machine is {}: the image is of another architecture", machine_name(machine),
                     machine_name(kOwnMachine));
}

std::string describe_size(const ProcessSpec& spec) {
  const std::size_t limit = kPagesOfOneString * static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
  std::string largest;
  std::size_t size = 0;
  std::size_t total = 0;
  const auto take = [&](const std::string& text, const auto& name) {
    total += text.size() + 1;
    if (text.size() < size) return;
    size = text.size();
    largest = name();
  };
  for (const std::string& variable : spec.environment) {
    take(variable,
         [&] { return "the variable " + printable(std::string_view(variable).substr(0, variable.find('='))); });
  }
  for (std::size_t i = 0; i < spec.arguments.size(); ++i) {
    take(spec.arguments[i], [&] { return std::format("commands[{}]", i); });
  }
  if (size >= limit) return std::format("{} has {} bytes, and one may have {} at most", largest, size, limit - 1);
  return std::format("the variables and the command have {} bytes together, of which {} has {}", total, largest, size);
}

}  // namespace

void throw_exec_failure(int code, const ProcessSpec& spec) {
  const std::string program = printable(spec.program.native());
  const std::string failure = std::format("execute {}: {}", program, describe_errno(code));
  using Reason = CannotExecute::Reason;
  switch (code) {
    case ENOENT:
      if (::access(spec.program.c_str(), F_OK) != 0) throw CannotExecute(Reason::not_found, failure);
      // ENOENT has two meanings here, and the second one puzzles people.
      throw CannotExecute(Reason::not_executable,
                          std::format("execute {}: the interpreter or loader that it names does not exist", program));
    case ENOTDIR: throw CannotExecute(Reason::not_found, failure);
    case ENOEXEC:
      throw CannotExecute(Reason::not_executable, std::format("{}: {}", failure, describe_format(spec.program)));
    case EACCES:
    case EPERM:
    case EISDIR:
    case ELOOP:
    case ELIBBAD:
    case ETXTBSY: throw CannotExecute(Reason::not_executable, failure);
    case E2BIG: throw Error(ErrorKind::invalid, std::format("{}: {}", failure, describe_size(spec)));
    default: throw os_error("execute", program, code);
  }
}

}  // namespace dstack::runner::job
