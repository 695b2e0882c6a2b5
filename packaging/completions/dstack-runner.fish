# Written by scripts/manual from the program's own options.
complete -c dstack-runner -f
complete -c dstack-runner -n '__fish_use_subcommand' -a start -d 'Wait for a job, run it, leave'
complete -c dstack-runner -n '__fish_use_subcommand' -s h -l help -d 'Print this help message and exit'
complete -c dstack-runner -n '__fish_use_subcommand' -l version -d 'Display program version information and exit'
complete -c dstack-runner -n '__fish_use_subcommand' -l help-json -d 'Print all options and commands as JSON and exit'
complete -c dstack-runner -n '__fish_use_subcommand' -l log-level -x -d 'fatal, error, warning, info, debug, trace, or 1 to 6'
complete -c dstack-runner -n '__fish_seen_subcommand_from start' -s h -l help -d 'Print this help message and exit'
complete -c dstack-runner -n '__fish_seen_subcommand_from start' -l temp-dir -r -F -d 'Folder for logs and other temporary files'
complete -c dstack-runner -n '__fish_seen_subcommand_from start' -l http-address -x -d 'Address that the API listens on; empty: every interface'
complete -c dstack-runner -n '__fish_seen_subcommand_from start' -l http-port -x -d 'Port of the API'
complete -c dstack-runner -n '__fish_seen_subcommand_from start' -l ssh-port -x -d 'Port of the SSH server'
complete -c dstack-runner -n '__fish_seen_subcommand_from start' -l ssh-authorized-key -x -d 'A public key that may log in; may be given several times'
complete -c dstack-runner -n '__fish_seen_subcommand_from start' -l ssh-log-level -x -d 'LogLevel of the SSH server'
