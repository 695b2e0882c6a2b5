#pragma once

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <list>
#include <map>
#include <mutex>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "common/os/unique_fd.h"
#include "tests/support/temporary_directory.h"

namespace dstack::test {

// A Docker Engine on a Unix socket that knows just enough to carry a task from the pull to the removal, without any
// process behind its containers, and misbehaves on command. Every member may be called from any thread; whatever waits
// inside ends when the engine dies or is destroyed.
class FakeEngine {
 public:
  struct Request {
    std::string method;
    std::string path;  // without the version: "/containers/create"
    std::map<std::string, std::string, std::less<>> query;
    std::map<std::string, std::string, std::less<>> headers;  // names in lower case
    std::string body;

    std::string line() const { return method + " " + path; }
  };

  // The engine's end of one request.
  class Reply {
   public:
    explicit Reply(int fd) : fd_(fd) {}

    void answer(int status, std::string_view body = "", std::string_view more_headers = "");
    void error(int status, const std::string& message);  // {"message": …}
    // A body in pieces; it ends when the handler returns, unless the connection was broken.
    void begin_stream();
    void send(std::string_view piece);
    // These bytes and nothing else.
    void send_raw(std::string_view bytes);
    // In the middle of whatever is going on.
    void break_connection();
    // The connection breaks off after so many bytes of the answer, its headers included; what it reports is done all
    // the same.
    void cut_after(std::size_t bytes) { left_ = bytes; }
    // Waits until the client has gone, or the engine dies.
    void hang();

   private:
    friend class FakeEngine;
    void write(std::string_view bytes);

    int fd_;
    std::size_t left_ = SIZE_MAX;  // bytes until the connection breaks off
    bool streaming_ = false;
    bool answered_ = false;
    bool broken_ = false;
  };
  using Handler = std::function<void(const Request&, Reply&)>;

  struct Container {
    std::string id;
    std::string name;
    std::string status = "created";
    int exit_code = 0;
    bool out_of_memory = false;
    std::string output;  // what /logs gives, unframed
    std::string errors;  // the same of stderr, after it
    std::string create_body;
  };

  FakeEngine();
  FakeEngine(const FakeEngine&) = delete;
  FakeEngine& operator=(const FakeEngine&) = delete;
  ~FakeEngine();

  const std::string& socket_path() const { return socket_path_; }

  // Does this in place of its usual behaviour, `times` times (0: for ever). `line` is "POST /images/create" or, with a
  // star at its end, the beginning of one: "POST /containers/*". The newest that matches counts.
  void on(std::string line, Handler handler, int times = 0);
  // For a handler that only wanted to look, or to wait.
  void as_usual(const Request& request, Reply& reply) { usual(request, reply); }
  // Back to the usual behaviour.
  void behave();

  // Breaks all connections off and listens no more, as a daemon that was killed; revive() brings it back with what it
  // held. Event streams have to be opened anew.
  void die();
  void revive();
  void drop_event_streams();
  void set_api_version(std::string version, std::string oldest = "1.24");

  void add_image(const std::string& name);  // with its tag
  void remove_image(const std::string& name);
  // What happens to a container by itself, with its event.
  void end_container(const std::string& id_or_name, int exit_code, bool out_of_memory = false);
  void set_output(const std::string& id_or_name, std::string output);
  // What becomes of a container with this body as soon as it is started; nothing: it runs on. For programs that do
  // their work and end.
  struct Outcome {
    int exit_code = 0;
    std::string output;
    std::string errors;
  };
  void on_start(std::function<std::optional<Outcome>(const std::string& create_body)> decide);
  void remove_container(const std::string& id_or_name);
  // The same without an event, as if it happened while nobody listened.
  void lose_container(const std::string& id_or_name);
  std::optional<Container> container(const std::string& id_or_name) const;

  // Networks and volumes by name, with their labels. Removing one that is in use is refused.
  struct Resource {
    std::map<std::string, std::string> labels;
    bool in_use = false;
  };
  // `kind` is "network" or "volume".
  void add_resource(const std::string& kind, const std::string& name,
                    const std::map<std::string, std::string>& labels = {});
  void use_resource(const std::string& kind, const std::string& name, bool in_use);
  std::map<std::string, Resource> resources(const std::string& kind) const;
  std::vector<Container> containers() const;

  std::vector<Request> requests() const;
  // How many requests of this kind have arrived; `line` as in on().
  std::size_t count(std::string_view line) const;
  // Blocks until so many have arrived.
  void await(std::string_view line, std::size_t number = 1) const;
  // Blocks until so many event streams are open.
  void await_listeners(std::size_t number = 1) const;

 private:
  struct Rule {
    std::string line;
    Handler handler;
    int left;  // 0: for ever
  };
  struct Connection {
    os::UniqueFd socket;
    std::thread thread;
    bool finished = false;
  };

  void accept_loop(int listener, int stopped);
  void serve(Connection& connection);
  bool read_request(int fd, std::string& unread, Request& request) const;
  bool handle(const Request& request, int fd);
  void usual(const Request& request, Reply& reply);
  void usual_container(const Request& request, const std::string& id, const std::string& action, Reply& reply);
  void create(const Request& request, Reply& reply);
  void usual_resource(const Request& request, const std::string& kind, Reply& reply);
  void stream_events(const Request& request, Reply& reply);
  void emit(const Container& container, const std::string& action);  // with the lock held
  Container* find(const std::string& id_or_name);
  const Container* find(const std::string& id_or_name) const;

  TemporaryDirectory folder_;
  std::string socket_path_;

  mutable std::mutex mutex_;
  mutable std::condition_variable changed_;
  std::string api_version_ = "1.44";
  std::string oldest_api_version_ = "1.24";
  std::deque<Rule> rules_;
  std::function<std::optional<Outcome>(const std::string&)> decide_;
  std::vector<Request> requests_;
  std::list<Container> containers_;
  std::set<std::string> images_;
  std::map<std::string, std::map<std::string, Resource>> resources_;  // kind → name → …
  std::vector<std::string> events_;                                   // each a line
  std::size_t listeners_ = 0;
  std::size_t dropped_streams_ = 0;  // how often all streams were dropped
  unsigned next_id_ = 1;

  bool alive_ = false;
  os::UniqueFd stopped_;
  std::thread acceptor_;
  std::list<Connection> connections_;
};

}  // namespace dstack::test
