# Written by scripts/manual from the program's own options.
_dstack_shim() {
    local word path= skip= i
    local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD - 1]}
    COMPREPLY=()
    case $previous in
        --agent | --bundle | --env-file | --path | --runner-binary-path | --shim-binary-path | --shim-home | --workdir | -w)
            mapfile -t COMPREPLY < <(compgen -f -- "$current")
            return
            ;;
    esac
    # The commands that are typed already.
    for ((i = 1; i < COMP_CWORD; i++)); do
        word=${COMP_WORDS[i]}
        if [[ -n $skip ]]; then
            skip=
            continue
        fi
        case $path/$word in
            /serve) path=/serve ;;
            /run) path=/run ;;
            /exec) path=/exec ;;
            /cp) path=/cp ;;
            /ps) path=/ps ;;
            /attach) path=/attach ;;
            /wait) path=/wait ;;
            /inspect) path=/inspect ;;
            /logs) path=/logs ;;
            /stop) path=/stop ;;
            /rm) path=/rm ;;
            /drain) path=/drain ;;
            /undrain) path=/undrain ;;
            /gpu) path=/gpu ;;
            /gpu/ok) path=/gpu/ok ;;
            /top) path=/top ;;
            /doctor) path=/doctor ;;
            /runners) path=/runners ;;
            /ci) path=/ci ;;
            /ci/gitlab) path=/ci/gitlab ;;
            /ci/gitlab/config) path=/ci/gitlab/config ;;
            /ci/gitlab/prepare) path=/ci/gitlab/prepare ;;
            /ci/gitlab/run) path=/ci/gitlab/run ;;
            /ci/gitlab/cleanup) path=/ci/gitlab/cleanup ;;
            /ci/github-hook) path=/ci/github-hook ;;
            /ci/clean) path=/ci/clean ;;
            /relay) path=/relay ;;
            /relay/install) path=/relay/install ;;
            /relay/remove) path=/relay/remove ;;
            /relay/keys) path=/relay/keys ;;
            /relay/hold) path=/relay/hold ;;
            /aws) path=/aws ;;
            /aws/configure) path=/aws/configure ;;
            /aws/show) path=/aws/show ;;
            /aws/remove) path=/aws/remove ;;
            /autoscale) path=/autoscale ;;
            /autoscale/allow) path=/autoscale/allow ;;
            /autoscale/remove) path=/autoscale/remove ;;
            /autoscale/info) path=/autoscale/info ;;
            /autoscale/enable) path=/autoscale/enable ;;
            /autoscale/disable) path=/autoscale/disable ;;
            /ci-runner) path=/ci-runner ;;
            */--access-key-id | */--agent | */--allow-volumes | */--bundle | */--cloud | */--cloud-gpu | */--cloud-hdd-size | */--cloud-metadata-url | */--cloud-region | */--cloud-spot-price | */--cloud-ssh-private | */--cloud-startup-script | */--cloud-type | */--cpus | */--dcgm-address | */--dcgm-exporter-http-port | */--dcgm-exporter-interval | */--docker-volumes | */--driver | */--dstack-project | */--dstack-token | */--dstack-url | */--entrypoint | */--env | */--env-file | */--filter | */--format | */--gpus | */--helper-image | */--idle | */--idle-timeout | */--image | */--image-gc-min-age | */--image-gc-start | */--image-gc-stop | */--interval | */--keep-logs | */--labels | */--log-format | */--max | */--memory | */--name | */--pass-env | */--path | */--pjrt-device | */--project | */--publish | */--reason | */--region | */--registry-mirror | */--repo | */--runner-binary-path | */--runner-download-url | */--runner-http-port | */--runner-log-level | */--runner-ssh-log-level | */--runner-ssh-port | */--secret-access-key | */--server | */--server-config | */--shim-binary-path | */--shim-home | */--shim-http-port | */--shim-log-level | */--shm-size | */--since | */--state | */--tail | */--task-disk | */--task-pids | */--timeout | */--token | */--user | */--volume | */--workdir | */-e | */-f | */-m | */-n | */-p | */-t | */-u | */-v | */-w) skip=1 ;;
        esac
    done
    [[ -z $skip ]] || return
    case $path in
        "") mapfile -t COMPREPLY < <(compgen -W '-h --help -v --version --help-json --shim-home --shim-binary-path --shim-http-port --shim-log-level --runner-download-url --runner-binary-path --runner-http-port --runner-ssh-port --runner-ssh-log-level --runner-log-level --dcgm-exporter-http-port --dcgm-exporter-interval --dcgm-address --pass-env --privileged --task-pids --task-disk --registry-mirror --host-credentials --keep-logs --image-gc-start --image-gc-stop --image-gc-min-age --cloud-metadata-url --pjrt-device --allow-task-callers --service serve run exec cp ps attach wait inspect logs stop rm drain undrain gpu top doctor runners ci relay aws autoscale ci-runner' -- "$current") ;;
        /serve) mapfile -t COMPREPLY < <(compgen -W '-h --help' -- "$current") ;;
        /run) mapfile -t COMPREPLY < <(compgen -W '-h --help --image --name --gpus --cpus --memory --shm-size -e --env --env-file -v --volume -p --publish -w --workdir -u --user --entrypoint -i --interactive -t --tty -d --detach --rm --json' -- "$current") ;;
        /exec) mapfile -t COMPREPLY < <(compgen -W '-h --help -i --interactive -t --tty -e --env -w --workdir -u --user' -- "$current") ;;
        /cp) mapfile -t COMPREPLY < <(compgen -W '-h --help -a --archive -L --follow-link -q --quiet' -- "$current") ;;
        /ps) mapfile -t COMPREPLY < <(compgen -W '-h --help -a --all -q --quiet -f --filter --format --json' -- "$current") ;;
        /attach) mapfile -t COMPREPLY < <(compgen -W '-h --help' -- "$current") ;;
        /wait) mapfile -t COMPREPLY < <(compgen -W '-h --help' -- "$current") ;;
        /inspect) mapfile -t COMPREPLY < <(compgen -W '-h --help' -- "$current") ;;
        /logs) mapfile -t COMPREPLY < <(compgen -W '-h --help -f --follow -n --tail --since -t --timestamps' -- "$current") ;;
        /stop) mapfile -t COMPREPLY < <(compgen -W '-h --help -t --timeout' -- "$current") ;;
        /rm) mapfile -t COMPREPLY < <(compgen -W '-h --help -f --force' -- "$current") ;;
        /drain) mapfile -t COMPREPLY < <(compgen -W '-h --help --reason' -- "$current") ;;
        /undrain) mapfile -t COMPREPLY < <(compgen -W '-h --help' -- "$current") ;;
        /gpu) mapfile -t COMPREPLY < <(compgen -W '-h --help ok' -- "$current") ;;
        /gpu/ok) mapfile -t COMPREPLY < <(compgen -W '-h --help' -- "$current") ;;
        /top) mapfile -t COMPREPLY < <(compgen -W '-h --help --once --json --interval' -- "$current") ;;
        /doctor) mapfile -t COMPREPLY < <(compgen -W '-h --help --json --bundle' -- "$current") ;;
        /runners) mapfile -t COMPREPLY < <(compgen -W '-h --help --token --server --project --all --json' -- "$current") ;;
        /ci) mapfile -t COMPREPLY < <(compgen -W '-h --help gitlab github-hook clean' -- "$current") ;;
        /ci/gitlab) mapfile -t COMPREPLY < <(compgen -W '-h --help --state --image --helper-image --gpus --cpus --memory --shm-size --volume --docker-volumes --allow-volumes --privileged --host-jobs --shim-http-port --agent config prepare run cleanup' -- "$current") ;;
        /ci/gitlab/config) mapfile -t COMPREPLY < <(compgen -W '-h --help' -- "$current") ;;
        /ci/gitlab/prepare) mapfile -t COMPREPLY < <(compgen -W '-h --help' -- "$current") ;;
        /ci/gitlab/run) mapfile -t COMPREPLY < <(compgen -W '-h --help' -- "$current") ;;
        /ci/gitlab/cleanup) mapfile -t COMPREPLY < <(compgen -W '-h --help' -- "$current") ;;
        /ci/github-hook) mapfile -t COMPREPLY < <(compgen -W '-h --help --state --image --helper-image --gpus --cpus --memory --shm-size --volume --docker-volumes --allow-volumes --privileged --host-jobs --shim-http-port --agent' -- "$current") ;;
        /ci/clean) mapfile -t COMPREPLY < <(compgen -W '-h --help --token --workdir' -- "$current") ;;
        /relay) mapfile -t COMPREPLY < <(compgen -W '-h --help install remove keys hold' -- "$current") ;;
        /relay/install) mapfile -t COMPREPLY < <(compgen -W '-h --help --token --server --project' -- "$current") ;;
        /relay/remove) mapfile -t COMPREPLY < <(compgen -W '-h --help' -- "$current") ;;
        /relay/keys) mapfile -t COMPREPLY < <(compgen -W '-h --help' -- "$current") ;;
        /relay/hold) mapfile -t COMPREPLY < <(compgen -W '-h --help' -- "$current") ;;
        /aws) mapfile -t COMPREPLY < <(compgen -W '-h --help configure show remove' -- "$current") ;;
        /aws/configure) mapfile -t COMPREPLY < <(compgen -W '-h --help --token --server --project --access-key-id --secret-access-key --region --from-env --server-config --show-secret' -- "$current") ;;
        /aws/show) mapfile -t COMPREPLY < <(compgen -W '-h --help --token --server --project --json' -- "$current") ;;
        /aws/remove) mapfile -t COMPREPLY < <(compgen -W '-h --help --token --server --project --server-config' -- "$current") ;;
        /autoscale) mapfile -t COMPREPLY < <(compgen -W '-h --help allow remove info enable disable' -- "$current") ;;
        /autoscale/allow) mapfile -t COMPREPLY < <(compgen -W '-h --help --token --server --project -m --max -s --spot -d --on-demand --region --idle --yes --drain' -- "$current") ;;
        /autoscale/remove) mapfile -t COMPREPLY < <(compgen -W '-h --help --token --server --project -a --all --yes --drain' -- "$current") ;;
        /autoscale/info) mapfile -t COMPREPLY < <(compgen -W '-h --help --token --server --project --json' -- "$current") ;;
        /autoscale/enable) mapfile -t COMPREPLY < <(compgen -W '-h --help --token --server --project' -- "$current") ;;
        /autoscale/disable) mapfile -t COMPREPLY < <(compgen -W '-h --help --token --server --project --yes --drain' -- "$current") ;;
        /ci-runner) mapfile -t COMPREPLY < <(compgen -W '-h --help --labels --idle-timeout --name --single --reuse --reuse-idle --driver --repo --token --no-retry --workdir --path --image --helper-image --gpus --cpus --memory --shm-size --volume --docker-volumes --allow-volumes --privileged --host-jobs --shim-http-port --agent --log-format --cloud --cloud-region --cloud-type --cloud-gpu --cloud-hdd-size --cloud-spot --cloud-spot-price --cloud-ssh-private --cloud-startup-script --dstack-url --dstack-project --dstack-token --version' -- "$current") ;;
    esac
}
complete -o default -F _dstack_shim dstack-shim
