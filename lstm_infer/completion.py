"""Scripts that let a shell complete a command line, made from its argparse parser: nothing is written twice."""

import argparse


def script(shell, parser):
    """Return the script for a shell.

    Parameters
    ----------
    shell : {"bash", "zsh", "fish"}
    parser : argparse.ArgumentParser
        One with subcommands.

    Returns
    -------
    str
    """
    return {"bash": _bash, "zsh": _zsh, "fish": _fish}[shell](parser.prog, _commands(parser))


def _commands(parser):
    """Return the options of every subcommand, and its help, by its name."""
    (action,) = (action for action in parser._actions if isinstance(action, argparse._SubParsersAction))
    helps = {choice.dest: choice.help for choice in action._choices_actions}
    return {name: (helps[name], _options(command)) for name, command in action.choices.items()}


def _options(command):
    return [action for action in command._actions if action.help != argparse.SUPPRESS]


def _choices(option):
    return " ".join(map(str, option.choices)) if option.choices else ""


def _bash(prog, commands):
    function = "_" + prog.replace("-", "_")
    cases, values = [], []
    for name, (_, options) in commands.items():
        words = [word for option in options for word in option.option_strings]
        words += [choice for option in options if not option.option_strings for choice in _choices(option).split()]
        cases.append(f'        {name}) words="{" ".join(words)}" ;;')
        values += [
            f'        {name},{word}) COMPREPLY=($(compgen -W "{_choices(option)}" -- "$current")); return ;;'
            for option in options
            for word in option.option_strings
            if option.choices
        ]
    return "\n".join([
        f"{function}() {{",
        '    local current="${COMP_WORDS[COMP_CWORD]}" before="${COMP_WORDS[COMP_CWORD-1]}" words=""',
        '    if [ "$COMP_CWORD" -eq 1 ]; then',
        f'        COMPREPLY=($(compgen -W "{" ".join(commands)} --help --version" -- "$current")); return',
        "    fi",
        '    case "${COMP_WORDS[1]},$before" in', *dict.fromkeys(values), "    esac",
        '    case "${COMP_WORDS[1]}" in', *cases, "    esac",
        '    COMPREPLY=($(compgen -W "$words" -- "$current"))',
        '    case "$current" in',
        "        -*) ;;",
        "        *) local IFS=$'\\n'; COMPREPLY+=($(compgen -f -- \"$current\")) ;;",  # names with blanks stay whole
        "    esac",
        "}",
        f"complete -o filenames -F {function} {prog}",
    ])  # fmt: skip


def _quoted(text):
    return "'" + text.replace("'", "'\\''") + "'"


def _zsh(prog, commands):
    lines = [f"#compdef {prog}", f"_{prog}() {{", "    local -a commands", "    commands=("]
    lines += [f"        {_quoted(f'{name}:{text}')}" for name, (text, _) in commands.items()]
    lines += ["    )", "    if (( CURRENT == 2 )); then", "        _describe command commands; return", "    fi",
              '    case "$words[2]" in']  # fmt: skip
    for name, (_, options) in commands.items():
        specs = [_quoted(spec) for option in options for spec in _zsh_specs(option)]
        lines.append(f"        {name}) shift words; (( CURRENT-- )); _arguments {' '.join(specs)} ;;")
    return "\n".join([*lines, "    esac", "}", f'compdef _{prog} {prog} 2>/dev/null || _{prog} "$@"'])


def _zsh_specs(option):
    text = (option.help or "").replace("[", "(").replace("]", ")").replace(":", " ")
    takes = ""
    if option.nargs != 0:
        takes = f":{option.metavar or option.dest}:" + (f"({_choices(option)})" if option.choices else "_files")
    for word in option.option_strings:
        yield f"*{word}[{text}]{takes}"
    if not option.option_strings:
        yield f"{'*' if option.nargs in ('*', '+') else ''}{takes}"  # which zsh takes once


def _fish(prog, commands):
    lines = [f"complete -c {prog} -n __fish_use_subcommand -l version -l help"]
    for name, (text, options) in commands.items():
        lines.append(f"complete -c {prog} -n __fish_use_subcommand -f -a {name} -d {_quoted(text)}")
        seen = f"-n '__fish_seen_subcommand_from {name}'"
        for option in options:
            takes = f"-x -a {_quoted(_choices(option))}" if option.choices else "-r" if option.nargs != 0 else ""
            for word in option.option_strings:
                form = f"-l {word[2:]}" if word.startswith("--") else f"-s {word[1:]}"
                lines.append(f"complete -c {prog} {seen} {form} {takes} -d {_quoted(option.help or '')}")
            if not option.option_strings and option.choices:
                lines.append(f"complete -c {prog} {seen} -f -a {_quoted(_choices(option))}")
    return "\n".join(lines)
