# Written by scripts/manual from the program's own options.
_dstack_runner() {
    local word path= skip= i
    local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD - 1]}
    COMPREPLY=()
    case $previous in
        --temp-dir | --token-file)
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
            /start) path=/start ;;
            /config) path=/config ;;
            /status) path=/status ;;
            /leave) path=/leave ;;
            /chown) path=/chown ;;
            */--address | */--blocks | */--env | */--http-address | */--http-port | */--log-level | */--name | */--project | */--relay | */--relay-key | */--relay-listen | */--relay-user | */--server | */--ssh-authorized-key | */--ssh-log-level | */--ssh-port | */--temp-dir | */--token | */--token-file) skip=1 ;;
        esac
    done
    [[ -z $skip ]] || return
    case $path in
        "") mapfile -t COMPREPLY < <(compgen -W '-h --help --version --help-json --log-level start config status leave chown' -- "$current") ;;
        /start) mapfile -t COMPREPLY < <(compgen -W '-h --help --temp-dir --http-address --http-port --ssh-port --ssh-authorized-key --ssh-log-level --hold --token-file --token --server --project --name --relay --address --relay-user --relay-key --relay-listen --blocks --env --foreground --no-wait --keep-server-binaries' -- "$current") ;;
        /config) mapfile -t COMPREPLY < <(compgen -W '-h --help --token --server --project --name --relay --no-check' -- "$current") ;;
        /status) mapfile -t COMPREPLY < <(compgen -W '-h --help --token --server --project --json' -- "$current") ;;
        /leave) mapfile -t COMPREPLY < <(compgen -W '-h --help --token --server --project --force --purge' -- "$current") ;;
        /chown) mapfile -t COMPREPLY < <(compgen -W '-h --help' -- "$current") ;;
    esac
}
complete -o default -F _dstack_runner dstack-runner
