#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <initializer_list>
#include <map>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <set>
#include <span>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "common/http/client.h"
#include "common/http/upgraded.h"
#include "common/os/clock.h"
#include "common/os/mutex.h"
#include "shim/docker/container_usage.h"
#include "shim/docker/engine_address.h"
#include "shim/docker/engine_mode.h"
#include "shim/docker/engine_types.h"
#include "shim/docker/image_reference.h"
#include "shim/docker/stream_frames.h"

namespace dstack::shim::docker {

// How one call may end early. `engine.start(id, {stop})` is the usual form.
struct Call {
  std::stop_token stop;
  // In place of the call's own limit (30 s; more where the engine's work may take long). By the client's clock.
  std::optional<std::chrono::milliseconds> limit;
};

// The Docker Engine's API, or Podman's imitation of it. It holds no state but connections and the negotiated version;
// all members may be called from any thread and block.
//
// Errors: a call throws Error with "<what was tried>: <the engine's own message>" and the kind
//   not_found    no such container, image, or path of the API
//   conflict     the name is taken, or the container is in a state that forbids this
//   invalid      the engine refused the request (400, 401, 403 and the other 4xx)
//   internal     the engine tried and failed (5xx)
//   unavailable  the engine does not answer, answers nonsense, or is busy (429); the message names its address
//   timed_out    it did not answer within the limit
//   cancelled    `stop`
// After timed_out or cancelled the engine may still carry the work out: whoever gives up a create removes the
// container by its name afterwards.
//
// Wherever an `id` is asked for, the container's name does as well.
class EngineClient {
 public:
  explicit EngineClient(EngineAddress address, os::Clock& clock = os::system_clock());
  EngineClient(const EngineClient&) = delete;
  EngineClient& operator=(const EngineClient&) = delete;

  // Asks /_ping and agrees on a version: the engine's newest, at most 1.56, at least 1.41 (Error,
  // unavailable). Every other call does this by itself the first time; call it again after the engine was away, since
  // it may come back as another version.
  void connect(const Call& call = {});

  EngineInfo info(const Call& call = {});

  // The same as of the last connect(), after which it is asked for once: it takes the engine 10 ms and more.
  EngineInfo known_info(const Call& call = {});

  // How it runs, of what known_info() says.
  EngineMode mode(const Call& call = {}) { return mode_of(known_info(call)); }

  // Whether it takes new connections. One that is shutting down does not, although it goes on answering on those that
  // it has. Throws Error (timed_out or cancelled) if that did not come out.
  bool takes_connections(const Call& call = {});

  bool image_present(const ImageReference& image, const Call& call = {});

  // Starts a pull and calls `take` with the pieces of its progress stream (JSON lines, cut anywhere) until the stream
  // ends. That it ended says nothing about success: see image_pull.h. No limit of time unless `call` has one.
  void pull(const ImageReference& image, const Credentials& credentials,
            const std::function<void(std::string_view)>& take, const Call& call = {});

  // Returns the id. `body` is container_spec.h's. Limit: 2 minutes. Error (conflict): the name is taken.
  std::string create(const std::string& name, const nlohmann::json& body, const Call& call = {});
  // Success if it runs already. Limit: 5 minutes.
  void start(const std::string& id, const Call& call = {});
  // SIGTERM, and SIGKILL after `grace`; 0 kills at once. Success if it does not run. Limit: grace + 30 s.
  // Error (not_found) if there is no such container.
  void stop(const std::string& id, std::chrono::seconds grace, const Call& call = {});
  // SIGKILL. Success if it does not run. Error (not_found) if there is no such container.
  void kill(const std::string& id, const Call& call = {});
  // Kills it if need be and removes it with its anonymous volumes. Success if it is gone already, and if someone
  // else's removal of it is under way and ends within the limit (2 minutes).
  void remove(const std::string& id, const Call& call = {});

  // Nothing if there is no such container.
  std::optional<ContainerDetails> inspect(const std::string& id, const Call& call = {});

  // What a container has used until now; nothing if there is no such container or it does not run.
  std::optional<ContainerUsage> usage(const std::string& id, const Call& call = {});

  // All containers, running or not, that carry the label ("name=value"). `at`, where given, gets the engine's own time
  // before the list was made, for events().
  std::vector<ContainerSummary> list(const std::string& label, const Call& call = {},
                                     std::chrono::sys_seconds* at = nullptr);

  // The last lines of its output, stdout and stderr together, without line ends; each cut at 4 KiB.
  std::vector<std::string> last_lines(const std::string& id, int count, const Call& call = {});

  // Waits for the end of a container that was started; its exit code. No limit of time unless `call` has one.
  int wait(const std::string& id, const Call& call = {});

  // All it has written, for one without a terminal: 16 MiB at most.
  ContainerOutput output(const std::string& id, const Call& call = {});

  // Calls `take` with the pieces of what the engine has kept of its output, stdout and stderr as they were written,
  // until it is all there or `take` returns false. Pieces are cut anywhere. Error (not_found) if there is no such
  // container.
  void read_output(const std::string& id, const std::function<bool(std::string_view)>& take, const Call& call = {});

  // By its id or a name; nothing if there is no such image.
  std::optional<ImageDetails> inspect_image(const std::string& id, const Call& call = {});

  // All images but those that only other images are made of.
  std::vector<ImageSummary> images(const Call& call = {});
  // Names and ids of images that a container has, running or not, or was made of in the given time as far as the engine
  // remembers it.
  std::set<std::string> used_images(std::chrono::sys_seconds since, std::chrono::sys_seconds until,
                                    const Call& call = {});
  // The digest that the image's registry has for its tag, which the engine asks for without credentials. Podman cannot
  // (not_found).
  std::string registry_digest(const ImageReference& image, const Call& call = {});
  // Gives an image another name.
  void tag_image(const std::string& image, const ImageReference& name, const Call& call = {});
  // Takes the name from an image, and removes the image if that was its last; by its id the image without a name.
  // Success if it is gone already. Error (conflict) while a container has it. Limit: 5 minutes.
  void remove_image(const std::string& image, const Call& call = {});

  // Networks and named volumes: engine_resources.cpp. find() takes the whole name and no id. create() makes a bridge
  // network or a local volume; a volume of that name that somebody has just made is answered as it is. remove():
  // success if it is gone already, Error (conflict) while a container uses it.
  enum class Resource { network, volume };
  std::optional<EngineResource> find(Resource kind, const std::string& name, const Call& call = {});
  EngineResource create(Resource kind, const std::string& name, const std::map<std::string, std::string>& labels,
                        const Call& call = {});
  void remove(Resource kind, const std::string& id, const Call& call = {});
  // All that carry the label ("name=value").
  std::vector<EngineResource> list(Resource kind, const std::string& label, const Call& call = {});

  // Calls `take` for each making, end or removal of a container that carries the label, beginning with those the engine
  // still remembers since `since`. Returns when the engine closes the stream; Error (timed_out) at the call's limit.
  void follow_ends(const std::string& label, std::chrono::sys_seconds since,
                   const std::function<void(const ContainerEvent&)>& take, const Call& call = {});

  // Programs in running containers, and the streams of a container's first process: engine_streams.cpp. A stream
  // carries the bytes of a terminal, or frames (stream_frames.h). It ends with the program.
  std::string create_exec(const std::string& container, const Program& program, const Call& call = {});
  std::unique_ptr<http::Upgraded> start_exec(const std::string& exec, const Program& program, const Call& call = {});
  // Nothing while it runs.
  std::optional<int> exec_exit_code(const std::string& exec, const Call& call = {});
  std::unique_ptr<http::Upgraded> attach(const std::string& container, bool input, const Call& call = {});
  enum class Terminal { container, exec };
  void resize(Terminal of, const std::string& id, int rows, int columns, const Call& call = {});
  // Calls `take` with what the engine has kept of its output, until it is all there, the container has ended if it is
  // followed, or `take` returns false.
  void read_logs(const std::string& container, const LogSelection& selection,
                 const std::function<bool(StreamFrames::Stream, std::string_view)>& take, const Call& call = {});
  // To its first process; `name` as "SIGINT". Error (conflict) if it does not run.
  void signal(const std::string& container, std::string_view name, const Call& call = {});

  // Files of a container, running or not, as tar archives: engine_archive.cpp. Links on the way to a path are followed
  // inside of the container; its last component is not.
  //
  // Nothing if there is no such path or container.
  std::optional<ContainerPath> stat_path(const std::string& container, const std::string& path, const Call& call = {});
  // Calls `take` with pieces of the archive, whose one root entry is the path's last component, until it is all there
  // or `take` returns false. No limit of time unless `call` has one.
  void read_archive(const std::string& container, const std::string& path,
                    const std::function<bool(std::string_view)>& take, const Call& call = {});
  // Unpacks the archive that `source` gives (see http::ClientRequest::body_source) into an existing folder, with its
  // owners. A folder is not replaced with anything else, nor the other way round. No limit of time unless `call` has
  // one.
  void write_archive(const std::string& container, const std::string& folder,
                     const std::function<std::size_t(std::span<char>)>& source, const Call& call = {});

  // Whether it is Podman that answers; asks once.
  bool is_podman(const Call& call = {});

  const std::string& address() const { return address_.name; }

 private:
  struct Agreement {
    std::string version;
    bool podman = false;
  };
  using Taker = std::function<bool(std::string_view)>;

  // Throws Error (unavailable) if the oldest version that the engine speaks is newer than all that this knows.
  void refuse_if_too_new(const std::string& attempt, const Call& call);
  Agreement agreement(const Call& call);
  // `request.path` without the version. Throws for every status that is neither 2xx nor in `accepted`.
  http::ClientResponse send(const std::string& attempt, http::ClientRequest request, const Call& call,
                            std::chrono::milliseconds own_limit, std::initializer_list<int> accepted = {},
                            const Taker& take = nullptr);

  std::unique_ptr<http::Upgraded> open_stream(const std::string& attempt, http::ClientRequest request,
                                              const Call& call);

  const EngineAddress address_;
  os::Clock& clock_;
  http::Client client_;
  os::Mutex mutex_;
  std::optional<Agreement> agreement_ DSTACK_GUARDED_BY(mutex_);
  std::optional<EngineInfo> info_ DSTACK_GUARDED_BY(mutex_);
};

}  // namespace dstack::shim::docker
