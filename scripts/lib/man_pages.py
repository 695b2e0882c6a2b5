"""A man page of a program, in roff, from its description (--help-json)."""

import textwrap

WIDTH = 78
SECTIONS = {
    "dstack-shim": """.SH FILES
.TP
.I /etc/default/dstack-shim
Settings of the service, one VARIABLE=value a line.
.TP
.I ~/.dstack
The shim's home: journals of tasks, their logs, and shim.log.
.SH EXIT STATUS
The daemon exits with 0 after SIGTERM or SIGINT and with 1 after an error. A command exits with 0 on success;
.B run
exits with the job's own exit status, or 125 if the job could not be run.
.SH SEE ALSO
.BR dstack-runner (1),
.BR docker (1)
""",
    "dstack-runner": """.SH EXIT STATUS
0 after a job that ended or was stopped through the API, 1 when the runner itself failed, 128 + n after a signal n that stopped it.
.SH SEE ALSO
.BR dstack-shim (1)
""",
}


def escape(text: str) -> str:
    text = text.replace("\\", "\\e").replace("-", "\\-")
    # A line that begins with a dot or a quote would be a request.
    return "\\&" + text if text[:1] in (".", "'") else text


def sentence(text: str) -> str:
    return text.rstrip(".") + "."


def paragraph(*sentences: str) -> str:
    return textwrap.fill(" ".join(escape(text) for text in sentences), WIDTH, break_long_words=False, break_on_hyphens=False) + "\n"


def option(entry: dict) -> str:
    value = f" \\fI{escape(entry['value'])}\\fR" if entry["value"] else ""
    names = ", ".join(f"\\fB{escape(name)}\\fR" for name in entry["names"])
    sentences = [sentence(entry["description"])]
    if entry["default"]:
        sentences.append(f"Default: {entry['default']}.")
    if entry["environment"]:
        sentences.append(f"Environment variable: {entry['environment']}.")
    return f".TP\n{names}{value}\n{paragraph(*sentences)}"


def usage(program: dict, prefix: str) -> str:
    words = [f"\\fB{escape((prefix + ' ' + program['name']).strip())}\\fR"]
    if program["options"]:
        words.append("[\\fIoptions\\fR]")
    if program["commands"]:
        words.append("[\\fIcommand\\fR]")
    for argument in program["arguments"]:
        name = f"\\fI{escape(argument['name'])}\\fR" + ("..." if argument["repeatable"] else "")
        words.append(name if argument["required"] else f"[{name}]")
    return " ".join(words)


def command(entry: dict, prefix: str) -> str:
    text = f".SS {usage(entry, prefix)}\n{paragraph(sentence(entry['description']))}"
    text += "".join(option(each) for each in entry["options"] if "--help" not in each["names"])
    for child in entry["commands"]:
        text += command(child, f"{prefix} {entry['name']}")
    return text


def page(program: dict) -> str:
    name = program["name"]
    text = f'.\\" Written by scripts/manual from the program\'s own options.\n.TH {name.upper()} 1 "" dstack\\-shim "User Commands"\n'
    text += f".SH NAME\n{escape(name)} \\- {escape(program['description'].rstrip('.').split(':')[0].lower())}\n"
    text += f".SH DESCRIPTION\n{paragraph(sentence(program['description']))}"
    text += f".SH SYNOPSIS\n{usage(program, '')}\n"
    text += ".SH OPTIONS\n" + "".join(option(entry) for entry in program["options"])
    if program["commands"]:
        text += ".SH COMMANDS\n" + "".join(command(entry, name) for entry in program["commands"])
    return text + SECTIONS[name]
