#include "shim/ci/github/create_options.h"

#include <algorithm>
#include <array>
#include <format>
#include <utility>

#include "common/error.h"
#include "common/text/number.h"
#include "common/text/shell_words.h"
#include "common/text/split.h"
#include "shim/ci/github/docker_values.h"

namespace dstack::shim::ci::github {

using nlohmann::json;

namespace {

// What is wrong with the value of an option; the option is named where it is caught.
class BadValue {};

template <typename Value>
Value required(const std::optional<Value>& value) {
  if (!value) throw BadValue();
  return *value;
}

// "NAME=value" → the pair; without a separator the value is "".
std::pair<std::string, std::string> split_pair(const std::string& text, char separator) {
  const std::size_t at = text.find(separator);
  if (text.empty() || at == 0) throw BadValue();
  return {text.substr(0, at), at == std::string::npos ? "" : text.substr(at + 1)};
}

json parse_ulimit(const std::string& text) {
  const auto [name, limits] = split_pair(text, '=');
  const std::vector<std::string_view> parts = text::split(limits, ':');
  const auto soft = required(text::parse_number<std::int64_t>(parts.front()));
  const auto hard = parts.size() == 1 ? soft : required(text::parse_number<std::int64_t>(parts[1]));
  if (parts.size() > 2) throw BadValue();
  return {{"Name", name}, {"Soft", soft}, {"Hard", hard}};
}

void set_gpus(CreateOptions& options, const std::string& value) {
  options.gpus = value == "all" ? -1 : required(text::parse_number<std::int64_t>(value));
  if (*options.gpus < -1 || (*options.gpus == -1 && value != "all")) throw BadValue();
}

// A variable without a value is the client's in Docker; of the agent's own none are handed on.
void add_variable(CreateOptions& options, const std::string& value) {
  const auto [name, text] = split_pair(value, '=');
  if (name.size() < value.size()) options.environment[name] = text;
}

void add_host(CreateOptions& options, const std::string& value) {
  const auto [name, address] = split_pair(value, value.contains('=') ? '=' : ':');
  if (address.empty()) throw BadValue();
  options.hosts[name] = address;
}

void set_pull(CreateOptions& options, const std::string& value) {
  if (!std::ranges::contains(std::array{"always", "missing", "never"}, value)) throw BadValue();
  options.pull = value;
}

void set_health_seconds(CreateOptions& options, const char* field, const std::string& value) {
  options.health[field] = required(parse_docker_duration(value));
}

struct Option {
  std::string_view name;
  std::string_view short_name;  // "-e"
  void (*set)(CreateOptions&, const std::string&);
};

constexpr std::array kOptions{
    Option{"--gpus", "", set_gpus},
    Option{"--cpus", "", [](CreateOptions& o, const std::string& v) { o.cpus = required(parse_docker_decimal(v)); }},
    Option{"--memory", "-m", [](CreateOptions& o, const std::string& v) { o.memory = required(parse_docker_size(v)); }},
    Option{"--shm-size", "",
           [](CreateOptions& o, const std::string& v) { o.shm_size = required(parse_docker_size(v)); }},
    Option{"--env", "-e", add_variable},
    Option{"--user", "-u", [](CreateOptions& o, const std::string& v) { o.user = v; }},
    Option{"--workdir", "-w", [](CreateOptions& o, const std::string& v) { o.working_dir = v; }},
    Option{"--hostname", "-h", [](CreateOptions& o, const std::string& v) { o.hostname = v; }},
    Option{"--name", "", [](CreateOptions& o, const std::string& v) { o.aliases.push_back(v); }},
    Option{"--network-alias", "", [](CreateOptions& o, const std::string& v) { o.aliases.push_back(v); }},
    Option{"--entrypoint", "", [](CreateOptions& o, const std::string& v) { o.entrypoint = v; }},
    Option{"--health-cmd", "", [](CreateOptions& o, const std::string& v) { o.health["test"] = v; }},
    Option{"--health-interval", "",
           [](CreateOptions& o, const std::string& v) { set_health_seconds(o, "interval", v); }},
    Option{"--health-timeout", "", [](CreateOptions& o, const std::string& v) { set_health_seconds(o, "timeout", v); }},
    Option{"--health-start-period", "",
           [](CreateOptions& o, const std::string& v) { set_health_seconds(o, "start_period", v); }},
    Option{"--health-start-interval", "",
           [](CreateOptions& o, const std::string& v) { set_health_seconds(o, "start_interval", v); }},
    Option{"--health-retries", "",
           [](CreateOptions& o, const std::string& v) { o.health["retries"] = required(text::parse_number<int>(v)); }},
    Option{"--ulimit", "", [](CreateOptions& o, const std::string& v) { o.ulimits.push_back(parse_ulimit(v)); }},
    Option{"--tmpfs", "",
           [](CreateOptions& o, const std::string& v) {
             const auto [path, mount_options] = split_pair(v, ':');
             o.tmpfs[path] = mount_options;
           }},
    Option{"--add-host", "", add_host},
    Option{"--label", "-l",
           [](CreateOptions& o, const std::string& v) {
             const auto [name, value] = split_pair(v, '=');
             o.labels[name] = value;
           }},
    Option{"--pull", "", set_pull},
};

struct Switch {
  std::string_view name;
  void (*set)(CreateOptions&, bool);
};

constexpr std::array kSwitches{
    Switch{"--init", [](CreateOptions& o, bool on) { o.init = on; }},
    Switch{"--no-healthcheck",
           [](CreateOptions& o, bool on) {
             if (on) o.health["none"] = true;
           }},
};

// These give a job the host.
constexpr std::array kPrivilegedOptions{
    Option{"--cap-add", "", [](CreateOptions& o, const std::string& v) { o.added_capabilities.push_back(v); }}};
constexpr std::array kPrivilegedSwitches{Switch{"--privileged", [](CreateOptions& o, bool on) { o.privileged = on; }}};

// One word of the command line taken apart.
struct Word {
  std::string name;
  std::optional<std::string> value;  // "--name=value", "-mvalue"
};

Word parse_word(const std::string& word) {
  if (word.starts_with("--")) {
    const std::size_t equals = word.find('=');
    if (equals == std::string::npos) return {.name = word, .value = std::nullopt};
    return {.name = word.substr(0, equals), .value = word.substr(equals + 1)};
  }
  if (!word.starts_with('-') || word.size() <= 2) return {.name = word, .value = std::nullopt};
  return {.name = word.substr(0, 2), .value = word.substr(word[2] == '=' ? 3 : 2)};
}

class Parser {
 public:
  explicit Parser(bool privileged) : privileged_(privileged) {}

  CreateOptions parse(const std::vector<std::string>& words) {
    for (auto word = words.begin(); word != words.end(); ++word) {
      const Word parsed = parse_word(*word);
      if (set_switch(parsed)) continue;
      const Option* option = find_option(parsed.name);
      if (option == nullptr)
        throw Error(ErrorKind::invalid, std::format("option {} is not supported here", printed(parsed.name)));
      std::string value;
      if (parsed.value) {
        value = *parsed.value;
      } else {
        if (++word == words.end()) throw Error(ErrorKind::invalid, std::format("option {} needs a value", parsed.name));
        value = *word;
      }
      set(parsed.name, value, [&] { option->set(options_, value); });
    }
    if (options_.health.contains("none")) options_.health = {{"none", true}};
    return std::move(options_);
  }

 private:
  static std::string printed(const std::string& name) {
    const std::string quoted = printable(name);
    return quoted.substr(1, quoted.size() - 2);
  }

  const Option* find_option(const std::string& name) const {
    const auto find = [&name](const auto& options) -> const Option* {
      const auto found = std::ranges::find_if(
          options, [&name](const Option& option) { return name == option.name || name == option.short_name; });
      return found == options.end() ? nullptr : &*found;
    };
    const Option* option = find(kOptions);
    return option == nullptr && privileged_ ? find(kPrivilegedOptions) : option;
  }

  bool set_switch(const Word& word) {
    const auto try_all = [&](const auto& switches) {
      const auto found = std::ranges::find(switches, word.name, &Switch::name);
      if (found == switches.end()) return false;
      const std::string value = word.value.value_or("true");
      set(word.name, value, [&] {
        if (value != "true" && value != "false") throw BadValue();
        found->set(options_, value == "true");
      });
      return true;
    };
    return try_all(kSwitches) || (privileged_ && try_all(kPrivilegedSwitches));
  }

  template <typename Set>
  void set(const std::string& name, const std::string& value, Set set) {
    try {
      set();
    } catch (const BadValue&) {
      throw Error(ErrorKind::invalid, std::format("invalid value {} for option {}", printable(value), name));
    }
  }

  const bool privileged_;
  CreateOptions options_;
};

}  // namespace

CreateOptions parse_create_options(std::string_view text, bool privileged) {
  const auto words = text::split_shell_words(text);
  if (!words) throw Error(ErrorKind::invalid, "options: a quote is not closed");
  return Parser(privileged).parse(*words);
}

}  // namespace dstack::shim::ci::github
