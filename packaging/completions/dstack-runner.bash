# Written by scripts/manual from the program's own options.
_dstack_runner() {
    local word path= skip= i
    local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD - 1]}
    COMPREPLY=()
    case $previous in
        --temp-dir)
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
            */--http-address | */--http-port | */--log-level | */--ssh-authorized-key | */--ssh-log-level | */--ssh-port | */--temp-dir) skip=1 ;;
        esac
    done
    [[ -z $skip ]] || return
    case $path in
        "") mapfile -t COMPREPLY < <(compgen -W '-h --help --version --help-json --log-level start' -- "$current") ;;
        /start) mapfile -t COMPREPLY < <(compgen -W '-h --help --temp-dir --http-address --http-port --ssh-port --ssh-authorized-key --ssh-log-level' -- "$current") ;;
    esac
}
complete -o default -F _dstack_runner dstack-runner
