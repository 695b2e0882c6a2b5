#include "tests/support/fake_engine.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <charconv>
#include <chrono>
#include <cstring>
#include <format>
#include <nlohmann/json.hpp>

#include "common/error.h"

namespace dstack::test {

namespace {

using nlohmann::json;

constexpr const char* kImageId = "sha256:abcd";

bool matches(std::string_view pattern, std::string_view line) {
  if (pattern.ends_with('*')) return line.starts_with(pattern.substr(0, pattern.size() - 1));
  return pattern == line;
}

std::string decode(std::string_view text) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '%' && i + 2 < text.size()) {
      unsigned byte = 0;
      std::from_chars(text.data() + i + 1, text.data() + i + 3, byte, 16);
      out += static_cast<char>(byte);
      i += 2;
    } else {
      out += text[i];
    }
  }
  return out;
}

void parse_target(std::string_view target, FakeEngine::Request& request) {
  const std::size_t question = target.find('?');
  std::string_view path = target.substr(0, question);
  // "/v1.44/containers/json" is the same as "/containers/json".
  if (path.starts_with("/v1.")) path.remove_prefix(path.find('/', 1));
  request.path = decode(path);
  if (question == std::string_view::npos) return;
  std::string_view query = target.substr(question + 1);
  while (!query.empty()) {
    const std::size_t end = query.find('&');
    const std::string_view pair = query.substr(0, end);
    const std::size_t equals = pair.find('=');
    const std::string_view value = equals == std::string_view::npos ? std::string_view() : pair.substr(equals + 1);
    request.query[decode(pair.substr(0, equals))] = decode(value);
    if (end == std::string_view::npos) break;
    query.remove_prefix(end + 1);
  }
}

// "Mon, 02 Jan 2006 15:04:05 GMT"
std::string http_date() {
  const auto now = std::chrono::floor<std::chrono::seconds>(std::chrono::system_clock::now());
  return std::format("{:%a, %d %b %Y %H:%M:%S} GMT", now);
}

std::string frame(std::string_view output, char stream = 1) {
  const auto size = static_cast<std::uint32_t>(output.size());
  std::string out(4, '\0');
  out[0] = stream;
  for (int shift = 24; shift >= 0; shift -= 8) out += static_cast<char>(size >> shift & 0xff);
  return out + std::string(output);
}

void write_bytes(int fd, std::string_view data) {
  while (!data.empty()) {
    const ssize_t size = ::send(fd, data.data(), data.size(), MSG_NOSIGNAL);
    if (size <= 0) return;
    data.remove_prefix(static_cast<std::size_t>(size));
  }
}

}  // namespace

void FakeEngine::Reply::write(std::string_view bytes) {
  const std::size_t size = std::min(bytes.size(), left_);
  write_bytes(fd_, bytes.substr(0, size));
  if (left_ != SIZE_MAX) left_ -= size;
  if (size < bytes.size()) break_connection();
}

void FakeEngine::Reply::answer(int status, std::string_view body, std::string_view more_headers) {
  answered_ = true;
  const bool bodiless = status == 204 || status == 304;
  std::string text = std::format("HTTP/1.1 {} X\r\nDate: {}\r\n{}", status, http_date(), more_headers);
  if (!bodiless) text += std::format("Content-Type: application/json\r\nContent-Length: {}\r\n", body.size());
  text += "\r\n";
  if (!bodiless) text += body;
  write(text);
}

void FakeEngine::Reply::error(int status, const std::string& message) {
  answer(status, json{{"message", message}}.dump());
}

void FakeEngine::Reply::begin_stream() {
  if (streaming_) return;
  answered_ = true;
  streaming_ = true;
  write("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n");
}

void FakeEngine::Reply::send(std::string_view piece) {
  if (!piece.empty()) write(std::format("{:x}\r\n{}\r\n", piece.size(), piece));
}

void FakeEngine::Reply::send_raw(std::string_view bytes) {
  answered_ = true;
  broken_ = true;
  write(bytes);
}

void FakeEngine::Reply::break_connection() {
  answered_ = true;
  broken_ = true;
  ::shutdown(fd_, SHUT_RDWR);
}

void FakeEngine::Reply::hang() {
  answered_ = true;
  broken_ = true;
  // A client that has gone, or die(), shuts the connection down.
  pollfd waiting{.fd = fd_, .events = POLLRDHUP, .revents = 0};
  while (::poll(&waiting, 1, -1) < 0 && errno == EINTR) {
  }
}

FakeEngine::FakeEngine() : socket_path_(folder_ / "docker.sock") { revive(); }

FakeEngine::~FakeEngine() { die(); }

void FakeEngine::on(std::string line, Handler handler, int times) {
  const std::scoped_lock lock(mutex_);
  rules_.push_front({std::move(line), std::move(handler), times});
}

void FakeEngine::behave() {
  const std::scoped_lock lock(mutex_);
  rules_.clear();
}

void FakeEngine::revive() {
  os::UniqueFd listener(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  socket_path_.copy(static_cast<char*>(address.sun_path), sizeof(address.sun_path) - 1);
  ::unlink(socket_path_.c_str());
  // NOLINTNEXTLINE: the socket API's own cast
  if (::bind(listener.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0 ||
      ::listen(listener.get(), 128) != 0) {
    throw os_error("listen on", socket_path_);
  }
  const std::scoped_lock lock(mutex_);
  stopped_.reset(::eventfd(0, EFD_CLOEXEC));
  alive_ = true;
  acceptor_ = std::thread(
      [this, socket = std::move(listener), stopped = stopped_.get()] { accept_loop(socket.get(), stopped); });
}

void FakeEngine::die() {
  {
    const std::scoped_lock lock(mutex_);
    if (!alive_) return;
    alive_ = false;
    ::eventfd_write(stopped_.get(), 1);
    changed_.notify_all();
  }
  acceptor_.join();
  ::unlink(socket_path_.c_str());
  {
    const std::scoped_lock lock(mutex_);
    for (const Connection& connection : connections_) ::shutdown(connection.socket.get(), SHUT_RDWR);
  }
  // Nobody else adds or removes connections once the acceptor has ended.
  for (Connection& connection : connections_) connection.thread.join();
  connections_.clear();
}

void FakeEngine::drop_event_streams() {
  const std::scoped_lock lock(mutex_);
  ++dropped_streams_;
  changed_.notify_all();
}

void FakeEngine::set_api_version(std::string version, std::string oldest) {
  const std::scoped_lock lock(mutex_);
  api_version_ = std::move(version);
  oldest_api_version_ = std::move(oldest);
}

void FakeEngine::add_image(const std::string& name) {
  const std::scoped_lock lock(mutex_);
  images_.insert(name);
}

void FakeEngine::remove_image(const std::string& name) {
  const std::scoped_lock lock(mutex_);
  images_.erase(name);
}

void FakeEngine::accept_loop(int listener, int stopped) {
  while (true) {
    std::array<pollfd, 2> waiting{{{.fd = listener, .events = POLLIN}, {.fd = stopped, .events = POLLIN}}};
    if (::poll(waiting.data(), waiting.size(), -1) < 0) continue;
    if (waiting[1].revents != 0) return;
    os::UniqueFd socket(::accept4(listener, nullptr, nullptr, SOCK_CLOEXEC));
    if (!socket) continue;
    const std::scoped_lock lock(mutex_);
    for (auto known = connections_.begin(); known != connections_.end();) {
      if (!known->finished) {
        ++known;
        continue;
      }
      known->thread.join();
      known = connections_.erase(known);
    }
    Connection& connection = connections_.emplace_back();
    connection.socket = std::move(socket);
    connection.thread = std::thread([this, &connection] { serve(connection); });
  }
}

void FakeEngine::serve(Connection& connection) {
  const int fd = connection.socket.get();
  std::string unread;
  Request request;
  while (read_request(fd, unread, request)) {
    if (!handle(request, fd)) break;
    request = {};
  }
  ::shutdown(fd, SHUT_RDWR);
  const std::scoped_lock lock(mutex_);
  connection.finished = true;
}

bool FakeEngine::read_request(int fd, std::string& unread, Request& request) const {
  const auto more = [&] {
    std::array<char, 16384> buffer{};
    const ssize_t size = ::recv(fd, buffer.data(), buffer.size(), 0);
    if (size <= 0) return false;
    unread.append(buffer.data(), static_cast<std::size_t>(size));
    return true;
  };
  std::size_t end = 0;
  while ((end = unread.find("\r\n\r\n")) == std::string::npos) {
    if (!more()) return false;
  }
  std::string_view head = std::string_view(unread).substr(0, end);
  const std::string_view first = head.substr(0, head.find("\r\n"));
  const std::size_t space = first.find(' ');
  request.method = first.substr(0, space);
  parse_target(first.substr(space + 1, first.rfind(' ') - space - 1), request);
  while (head.contains("\r\n")) {
    head.remove_prefix(head.find("\r\n") + 2);
    const std::string_view line = head.substr(0, head.find("\r\n"));
    const std::size_t colon = line.find(':');
    if (colon == std::string_view::npos) continue;
    std::string name(line.substr(0, colon));
    std::ranges::transform(name, name.begin(), [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
    request.headers[name] = line.substr(std::min(colon + 2, line.size()));
  }
  std::size_t length = 0;
  if (const auto found = request.headers.find("content-length"); found != request.headers.end()) {
    length = std::stoul(found->second);
  }
  unread.erase(0, end + 4);
  while (unread.size() < length) {
    if (!more()) return false;
  }
  request.body = unread.substr(0, length);
  unread.erase(0, length);
  return true;
}

bool FakeEngine::handle(const Request& request, int fd) {
  Handler handler;
  {
    const std::scoped_lock lock(mutex_);
    requests_.push_back(request);
    changed_.notify_all();
    const auto rule = std::ranges::find_if(rules_, [&](const Rule& r) { return matches(r.line, request.line()); });
    if (rule != rules_.end()) {
      handler = rule->handler;
      if (rule->left > 0 && --rule->left == 0) rules_.erase(rule);
    }
  }
  Reply reply(fd);
  if (handler) {
    handler(request, reply);
  } else {
    usual(request, reply);
  }
  if (reply.broken_) return false;
  if (!reply.answered_) reply.answer(200);
  if (reply.streaming_) reply.write("0\r\n\r\n");
  return !reply.broken_;
}

void FakeEngine::usual(const Request& request, Reply& reply) {
  const std::string line = request.line();
  if (line == "GET /_ping") {
    std::unique_lock lock(mutex_);
    const std::string header = std::format("Api-Version: {}\r\n", api_version_);
    lock.unlock();
    return reply.answer(200, "OK", header);
  }
  if (line == "GET /version") {
    const std::scoped_lock lock(mutex_);
    return reply.answer(200, json{{"ApiVersion", api_version_}, {"MinAPIVersion", oldest_api_version_}}.dump());
  }
  if (line == "GET /info") {
    return reply.answer(
        200,
        json{{"DockerRootDir", folder_.path().string()}, {"ServerVersion", "25.0.0"}, {"CgroupVersion", "2"}}.dump());
  }
  if (line == "GET /events") return stream_events(request, reply);
  if (line == "POST /containers/create") return create(request, reply);
  for (const std::string kind : {"network", "volume"}) {
    if (request.path.starts_with("/" + kind + "s")) return usual_resource(request, kind, reply);
  }
  if (request.path.starts_with("/images/") && request.path.ends_with("/json")) {
    const std::string name = request.path.substr(8, request.path.size() - 13);
    std::unique_lock lock(mutex_);
    const bool there = images_.contains(name) || name == kImageId;
    lock.unlock();
    const json image{{"Id", kImageId},
                     {"RepoDigests", {"app@sha256:0123"}},
                     {"Config",
                      {{"Entrypoint", {"/entry"}},
                       {"Cmd", {"serve"}},
                       {"Env", {"PATH=/bin"}},
                       {"User", "app"},
                       {"WorkingDir", "/srv"},
                       {"ExposedPorts", {{"8000/tcp", json::object()}}}}}};
    return there ? reply.answer(200, image.dump()) : reply.error(404, "No such image");
  }
  if (line == "POST /images/create") {
    reply.begin_stream();
    const std::string name = request.query.at("fromImage") + ":" + request.query.at("tag");
    add_image(name);
    reply.send(json{{"status", "Pulling from " + name}, {"id", request.query.at("tag")}}.dump() + "\r\n");
    return reply.send(json{{"status", "Status: Downloaded newer image for " + name}}.dump() + "\r\n");
  }
  if (line == "GET /containers/json") {
    json list = json::array();
    const std::scoped_lock lock(mutex_);
    for (const Container& container : containers_) {
      const json body = json::parse(container.create_body);
      json mounts = json::array();
      for (const json& mount : body["HostConfig"]["Mounts"]) {
        mounts.push_back({{"Source", mount["Source"]}, {"Destination", mount["Target"]}});
      }
      list.push_back({{"Id", container.id},
                      {"Names", {"/" + container.name}},
                      {"State", container.status},
                      {"Labels", body["Labels"]},
                      {"Mounts", mounts}});
    }
    return reply.answer(200, list.dump());
  }
  if (request.path.starts_with("/containers/")) {
    const std::string rest = request.path.substr(12);
    const std::size_t slash = rest.find('/');
    return usual_container(request, rest.substr(0, slash), slash == std::string::npos ? "" : rest.substr(slash + 1),
                           reply);
  }
  reply.error(404, "page not found");
}

void FakeEngine::create(const Request& request, Reply& reply) {
  const std::scoped_lock lock(mutex_);
  const std::string name = request.query.at("name");
  if (find(name) != nullptr) return reply.error(409, "The container name \"/" + name + "\" is already in use");
  const std::string image = json::parse(request.body)["Image"].get<std::string>();
  if (!images_.contains(image)) return reply.error(404, "No such image: " + image);
  Container& container = containers_.emplace_back();
  container.id = std::format("{:064x}", next_id_++);
  container.name = name;
  container.create_body = request.body;
  emit(container, "create");
  reply.answer(201, json{{"Id", container.id}, {"Warnings", json::array()}}.dump());
}

void FakeEngine::usual_container(const Request& request, const std::string& id, const std::string& action,
                                 Reply& reply) {
  std::unique_lock lock(mutex_);
  Container* container = find(id);
  if (container == nullptr) return reply.error(404, "No such container: " + id);
  const bool running = container->status == "running";
  if (request.method == "DELETE") {
    if (running) {
      container->exit_code = 137;
      emit(*container, "die");
    }
    emit(*container, "destroy");
    std::erase_if(containers_, [&](const Container& known) { return known.id == container->id; });
    return reply.answer(204);
  }
  if (action == "start") {
    if (running) return reply.answer(304);
    container->status = "running";
    if (const auto outcome = decide_ ? decide_(container->create_body) : std::nullopt) {
      container->status = "exited";
      container->exit_code = outcome->exit_code;
      container->output = outcome->output;
      container->errors = outcome->errors;
      emit(*container, "die");
    }
    return reply.answer(204);
  }
  if (action == "wait") {
    if (running) {
      // Whoever ends it does not tell this thread; the client goes away in the end.
      lock.unlock();
      return reply.hang();
    }
    return reply.answer(200, json{{"StatusCode", container->exit_code}}.dump());
  }
  if (action == "stop" || action == "kill") {
    if (!running) return action == "stop" ? reply.answer(304) : reply.error(409, "Container is not running");
    container->status = "exited";
    container->exit_code = 137;
    emit(*container, "die");
    return reply.answer(204);
  }
  if (action == "logs") {
    const std::string output = container->output;
    const std::string errors = container->errors;
    lock.unlock();
    reply.begin_stream();
    if (!errors.empty()) reply.send(frame(errors, 2));
    return reply.send(frame(output));
  }
  if (action == "json") {
    const json body = json::parse(container->create_body);
    json ports = json::object();
    if (running && body["HostConfig"].contains("PortBindings")) {
      int next = 40000;
      for (const auto& [port, binding] : body["HostConfig"]["PortBindings"].items()) {
        ports[port] = json::array({{{"HostIp", "127.0.0.1"}, {"HostPort", std::to_string(next++)}}});
      }
    }
    json mounts = json::array();
    for (const json& mount : body["HostConfig"]["Mounts"]) {
      mounts.push_back({{"Source", mount["Source"]}, {"Destination", mount["Target"]}});
    }
    return reply.answer(
        200, json{{"Id", container->id},
                  {"Name", "/" + container->name},
                  {"Image", kImageId},
                  {"State",
                   {{"Status", container->status},
                    {"ExitCode", container->exit_code},
                    {"OOMKilled", container->out_of_memory},
                    {"Error", ""}}},
                  {"Config", {{"Labels", body["Labels"]}, {"Env", body["Env"]}, {"Tty", false}}},
                  {"HostConfig", body["HostConfig"]},
                  {"Mounts", mounts},
                  {"NetworkSettings", {{"Ports", ports}, {"Networks", {{"net", {{"IPAddress", "172.18.0.2"}}}}}}}}
                 .dump());
  }
  reply.error(404, "page not found");
}

void FakeEngine::usual_resource(const Request& request, const std::string& kind, Reply& reply) {
  const std::scoped_lock lock(mutex_);
  std::map<std::string, Resource>& resources = resources_[kind];
  const std::string base = "/" + kind + "s";
  if (request.method == "POST") {
    const json body = json::parse(request.body);
    const auto name = body["Name"].get<std::string>();
    // A network is a conflict, a volume is there as it was.
    if (kind == "network" && resources.contains(name)) return reply.error(409, "network " + name + " already exists");
    resources.try_emplace(name, Resource{.labels = body["Labels"].get<std::map<std::string, std::string>>()});
    return reply.answer(201, json{{"Id", "id-" + name}, {"Name", name}, {"Labels", resources[name].labels}}.dump());
  }
  if (request.method == "DELETE") {
    const std::string id = request.path.substr(base.size() + 1);
    const std::string name = kind == "network" && id.starts_with("id-") ? id.substr(3) : id;
    const auto found = resources.find(name);
    if (found == resources.end()) return reply.error(404, "no such " + kind);
    if (found->second.in_use) return reply.error(kind == "network" ? 403 : 409, kind + " is in use");
    resources.erase(found);
    return reply.answer(204);
  }
  json list = json::array();
  const json filters = json::parse(request.query.contains("filters") ? request.query.at("filters") : "{}");
  for (const auto& [name, resource] : resources) {
    // As the engine does: a part of the name is enough.
    if (filters.contains("name") && !name.contains(filters["name"][0].get<std::string>())) continue;
    if (filters.contains("label")) {
      const auto label = filters["label"][0].get<std::string>();
      const auto found = resource.labels.find(label.substr(0, label.find('=')));
      if (found == resource.labels.end() || found->second != label.substr(label.find('=') + 1)) continue;
    }
    json entry{{"Name", name}, {"Labels", resource.labels}};
    if (kind == "network") entry["Id"] = "id-" + name;
    list.push_back(std::move(entry));
  }
  reply.answer(200, kind == "network" ? list.dump() : json{{"Volumes", list}}.dump());
}

void FakeEngine::add_resource(const std::string& kind, const std::string& name,
                              const std::map<std::string, std::string>& labels) {
  const std::scoped_lock lock(mutex_);
  resources_[kind][name] = {.labels = labels};
}

void FakeEngine::use_resource(const std::string& kind, const std::string& name, bool in_use) {
  const std::scoped_lock lock(mutex_);
  resources_[kind][name].in_use = in_use;
}

std::map<std::string, FakeEngine::Resource> FakeEngine::resources(const std::string& kind) const {
  const std::scoped_lock lock(mutex_);
  const auto found = resources_.find(kind);
  return found == resources_.end() ? std::map<std::string, Resource>{} : found->second;
}

void FakeEngine::emit(const Container& container, const std::string& action) {
  // Labels are among an event's attributes.
  json attributes = json::parse(container.create_body).value("Labels", json::object());
  attributes["name"] = container.name;
  if (action == "die") attributes["exitCode"] = std::to_string(container.exit_code);
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  events_.push_back(json{{"Type", "container"},
                         {"Action", action},
                         {"Actor", {{"ID", container.id}, {"Attributes", attributes}}},
                         {"time", std::chrono::duration_cast<std::chrono::seconds>(now).count()}}
                        .dump() +
                    "\n");
  changed_.notify_all();
}

void FakeEngine::stream_events(const Request& request, Reply& reply) {
  reply.begin_stream();
  std::unique_lock lock(mutex_);
  const std::size_t dropped = dropped_streams_;
  const auto since = request.query.find("since");
  std::size_t next = events_.size();
  if (since != request.query.end()) {
    const std::int64_t from = std::stoll(since->second);
    next = 0;
    while (next < events_.size() && json::parse(events_[next])["time"].get<std::int64_t>() < from) ++next;
  }
  ++listeners_;
  changed_.notify_all();
  while (alive_ && dropped == dropped_streams_) {
    while (next < events_.size()) reply.send(events_[next++]);
    // A client that has gone is noticed here, by and by; its thread ends with the engine at the latest.
    pollfd peer{.fd = reply.fd_, .events = POLLRDHUP, .revents = 0};
    if (::poll(&peer, 1, 0) > 0) break;
    changed_.wait_for(lock, std::chrono::milliseconds(20));
  }
  --listeners_;
  changed_.notify_all();
}

FakeEngine::Container* FakeEngine::find(const std::string& id_or_name) {
  const auto found = std::ranges::find_if(
      containers_, [&](const Container& known) { return known.id == id_or_name || known.name == id_or_name; });
  return found == containers_.end() ? nullptr : &*found;
}

const FakeEngine::Container* FakeEngine::find(const std::string& id_or_name) const {
  return const_cast<FakeEngine*>(this)->find(id_or_name);
}

void FakeEngine::end_container(const std::string& id_or_name, int exit_code, bool out_of_memory) {
  const std::scoped_lock lock(mutex_);
  Container* container = find(id_or_name);
  if (container == nullptr) throw Error(ErrorKind::not_found, "the fake engine has no container " + id_or_name);
  container->status = "exited";
  container->exit_code = exit_code;
  container->out_of_memory = out_of_memory;
  emit(*container, "die");
}

void FakeEngine::set_output(const std::string& id_or_name, std::string output) {
  const std::scoped_lock lock(mutex_);
  if (Container* container = find(id_or_name)) container->output = std::move(output);
}

void FakeEngine::on_start(std::function<std::optional<Outcome>(const std::string&)> decide) {
  const std::scoped_lock lock(mutex_);
  decide_ = std::move(decide);
}

void FakeEngine::remove_container(const std::string& id_or_name) {
  const std::scoped_lock lock(mutex_);
  const Container* container = find(id_or_name);
  if (container == nullptr) return;
  emit(*container, "destroy");
  std::erase_if(containers_, [id = container->id](const Container& known) { return known.id == id; });
}

void FakeEngine::lose_container(const std::string& id_or_name) {
  const std::scoped_lock lock(mutex_);
  std::erase_if(containers_,
                [&](const Container& known) { return known.id == id_or_name || known.name == id_or_name; });
}

std::optional<FakeEngine::Container> FakeEngine::container(const std::string& id_or_name) const {
  const std::scoped_lock lock(mutex_);
  const Container* found = find(id_or_name);
  if (found == nullptr) return std::nullopt;
  return *found;
}

std::vector<FakeEngine::Container> FakeEngine::containers() const {
  const std::scoped_lock lock(mutex_);
  return {containers_.begin(), containers_.end()};
}

std::vector<FakeEngine::Request> FakeEngine::requests() const {
  const std::scoped_lock lock(mutex_);
  return requests_;
}

std::size_t FakeEngine::count(std::string_view line) const {
  const std::scoped_lock lock(mutex_);
  return static_cast<std::size_t>(
      std::ranges::count_if(requests_, [&](const Request& request) { return matches(line, request.line()); }));
}

void FakeEngine::await(std::string_view line, std::size_t number) const {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [&] {
    return static_cast<std::size_t>(std::ranges::count_if(
               requests_, [&](const Request& request) { return matches(line, request.line()); })) >= number;
  });
}

void FakeEngine::await_listeners(std::size_t number) const {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [&] { return listeners_ >= number; });
}

}  // namespace dstack::test
