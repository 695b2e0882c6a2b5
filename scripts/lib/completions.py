"""Completions of a program for bash, zsh and fish, from its description (--help-json)."""

NOTE = "# Written by scripts/manual from the program's own options.\n"
# What names a file or a folder, by the option's name.
FILE_WORDS = ("path", "file", "home", "dir", "binary", "agent", "bundle")


def takes_file(option: dict) -> bool:
    return any(word in name for name in option["names"] for word in FILE_WORDS)


def commands(program: dict, path: tuple[str, ...] = ()) -> dict[tuple[str, ...], dict]:
    """The program itself, (), and each command by the words that lead to it."""
    found = {path: program}
    for child in program["commands"]:
        found |= commands(child, (*path, child["name"]))
    return found


def words(entry: dict) -> list[str]:
    return [name for option in entry["options"] for name in option["names"]] + [child["name"] for child in entry["commands"]]


def bash(program: dict) -> str:
    name = program["name"]
    function = "_" + name.replace("-", "_")
    all_commands = commands(program)
    with_value = sorted({n for entry in all_commands.values() for o in entry["options"] if o["value"] for n in o["names"]})
    files = sorted({n for entry in all_commands.values() for o in entry["options"] if o["value"] and takes_file(o) for n in o["names"]})
    lines = [NOTE + f"{function}() {{"]
    lines += ["    local word path= skip= i", "    local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD - 1]}", "    COMPREPLY=()"]
    if files:
        lines += ['    case $previous in', f'        {" | ".join(files)})', '            mapfile -t COMPREPLY < <(compgen -f -- "$current")', "            return", "            ;;", "    esac"]
    lines += ["    # The commands that are typed already.", "    for ((i = 1; i < COMP_CWORD; i++)); do", "        word=${COMP_WORDS[i]}"]
    lines += ['        if [[ -n $skip ]]; then', "            skip=", "            continue", "        fi", '        case $path/$word in']
    known = [path for path in all_commands if path]
    for path in known:
        lines.append(f"            {'/' + '/'.join(path)}) path={'/' + '/'.join(path)} ;;")
    if with_value:
        lines.append(f"            {' | '.join('*/' + option for option in with_value)}) skip=1 ;;")
    lines += ["        esac", "    done", "    [[ -z $skip ]] || return", "    case $path in"]
    for path, entry in all_commands.items():
        label = "/" + "/".join(path) if path else '""'
        lines.append(f"        {label}) mapfile -t COMPREPLY < <(compgen -W '{' '.join(words(entry))}' -- \"$current\") ;;")
    lines += ["    esac", "}", f"complete -o default -F {function} {name}", ""]
    return "\n".join(lines)


def quoted(text: str) -> str:
    return text.replace("'", "'\\''")


def zsh_text(text: str) -> str:
    return quoted(text.replace("\\", "\\\\").replace("[", "\\[").replace("]", "\\]").replace(":", "\\:"))


def zsh_options(entry: dict) -> list[str]:
    lines = []
    for option in entry["options"]:
        value = ""
        if option["value"]:
            value = ":file:_files" if takes_file(option) else f":{zsh_text(option['value'])}:"
        for name in option["names"]:
            many = "*" if option["repeatable"] else ""
            lines.append(f"'{many}{name}[{zsh_text(option['description'])}]{value}'")
    return lines


def zsh(program: dict) -> str:
    name = program["name"]
    text = f"#compdef {name}\n{NOTE}"
    for path, entry in commands(program).items():
        function = "_" + "_".join([name, *path]).replace("-", "_")
        specifications = zsh_options(entry)
        if entry["commands"]:
            specifications += ["'1: :->command'", "'*:: :->arguments'"]
        elif entry["arguments"]:
            specifications.append("'*::argument:_default'")
        text += f"\n{function}() {{\n"
        if entry["commands"]:
            text += "    local state line\n"
        text += "    _arguments -S " + " \\\n        ".join(specifications) + "\n"
        if entry["commands"]:
            text += "    case $state in\n        command)\n            local -a names=(\n"
            for child in entry["commands"]:
                text += f"                '{child['name']}:{zsh_text(child['description'])}'\n"
            text += "            )\n            _describe command names\n            ;;\n        arguments)\n            case $line[1] in\n"
            for child in entry["commands"]:
                text += f"                {child['name']}) _{'_'.join([name, *path, child['name']]).replace('-', '_')} ;;\n"
            text += "            esac\n            ;;\n    esac\n"
        text += "}\n"
    return text + f'\n_{name.replace("-", "_")} "$@"\n'


def fish(program: dict) -> str:
    name = program["name"]
    text = NOTE + f"complete -c {name} -f\n"
    for path, entry in commands(program).items():
        children = " ".join(child["name"] for child in entry["commands"])
        if path:
            condition = "; and ".join(f"__fish_seen_subcommand_from {word}" for word in path)
        else:
            condition = "__fish_use_subcommand"
        for child in entry["commands"]:
            missing = f"; and not __fish_seen_subcommand_from {children}" if path else ""
            text += f"complete -c {name} -n '{condition}{missing}' -a {child['name']} -d '{quoted(child['description'])}'\n"
        for option in entry["options"]:
            names = " ".join(f"-l {n[2:]}" if n.startswith("--") else f"-s {n[1:]}" for n in option["names"])
            value = "" if not option["value"] else (" -r -F" if takes_file(option) else " -x")
            text += f"complete -c {name} -n '{condition}' {names}{value} -d '{quoted(option['description'])}'\n"
    return text
