#include "runner/join/join_unit.h"

#include <format>

#include "common/os/file.h"
#include "runner/join/systemd.h"

namespace dstack::runner::join {

bool write_join_unit(const Places& places) {
  const std::string text = std::format(
      "# Written by dstack-runner start, removed by dstack-runner leave.\n"
      "[Unit]\n"
      "Description=dstack-runner: keeps this host in a project of a dstack server\n"
      "Wants=network-online.target\n"
      "After=network-online.target docker.service\n"
      "StartLimitIntervalSec=0\n"
      "\n"
      "[Service]\n"
      "Type=notify\n"
      "NotifyAccess=main\n"
      "User=root\n"
      "ExecStart={} agent\n"
      "Restart=on-failure\n"
      "RestartSec=3\n"
      "TimeoutStopSec=10\n"
      "\n"
      "[Install]\n"
      "WantedBy=multi-user.target\n",
      places.agent_program().string());
  if (os::try_read_file(places.join_unit()) == text) return false;
  os::write_file_atomic(places.join_unit(), text, 0644);
  reload_units();
  return true;
}

}  // namespace dstack::runner::join
