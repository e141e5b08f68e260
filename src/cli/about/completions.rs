//! Scripts that complete the command line in a shell: clap's own, in which `--set` also completes the settings' keys.
//!
//! A list of possible values does not fit `KEY=VALUE`, and the engine of `clap_complete` that would ask this program is
//! unstable. So bash gets a function around clap's, zsh an action, and fish one more rule.

use clap::Command;
use clap_complete::Shell;

use crate::{cli::failure::Failure, config};

/// The place of a zsh script where functions begin.
const ZSH_HEAD: &str = "autoload -U is-at-least\n";

/// The script for `shell`.
pub(super) fn script(shell: Shell, mut command: Command) -> Result<String, Failure> {
    let name = command.get_name().to_owned();
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut command, &name, &mut script);
    let script = String::from_utf8_lossy(&script).into_owned();
    let keys = config::keys()?;
    Ok(if shell == Shell::Bash {
        bash(&script, &name, &keys)
    } else if shell == Shell::Zsh {
        zsh(&script, &name, &keys)
    } else if shell == Shell::Fish {
        script + &fish(&name, &keys)
    } else {
        script
    })
}

/// bash splits `--set=KEY` and `--set KEY=VALUE` at their `=`, so the word after it is a key only if `--set` is before it.
///
/// clap's script assigns a name such as `scoring__api__subcmd__call` to the subcommand, and then looks for
/// `scoring__subcmd__api__subcmd__call`, because the program's name has a hyphen. Both become the former.
fn bash(script: &str, name: &str, keys: &[String]) -> String {
    let program = name.replace('-', "__");
    let script = script.replace(&name.replace('-', "__subcmd__"), &program);
    let function = format!("_{program}");
    let keys = keys.iter().map(|key| format!("{key}=")).collect::<Vec<_>>().join(" ");
    format!(
        r#"{script}
{function}_with_keys() {{
    if [[ "$3" == "--set" || ( "$3" == "=" && "${{COMP_WORDS[COMP_CWORD-2]}}" == "--set" ) ]]; then
        COMPREPLY=( $(compgen -W "{keys}" -- "${{2#=}}") )
        if [[ "${{BASH_VERSINFO[0]}}" -ge 4 ]]; then
            compopt -o nospace
        fi
        return 0
    fi
    {function} "$@"
}}

if [[ "${{BASH_VERSINFO[0]}}" -eq 4 && "${{BASH_VERSINFO[1]}}" -ge 4 || "${{BASH_VERSINFO[0]}}" -gt 4 ]]; then
    complete -F {function}_with_keys -o nosort -o bashdefault -o default {name}
else
    complete -F {function}_with_keys -o bashdefault -o default {name}
fi
"#
    )
}

/// The function stands before clap's, because zsh calls clap's when it reads the script for the first time.
fn zsh(script: &str, name: &str, keys: &[String]) -> String {
    let function = format!("_{name}_keys");
    let keys = keys.join(" ");
    let action = format!(
        r#"{ZSH_HEAD}
(( $+functions[{function}] )) ||
{function}() {{
    local -a keys=({keys})
    if compset -P '*='; then
        _default
    else
        compadd "$@" -q -S = -- $keys
    fi
}}
"#
    );
    script.replacen(ZSH_HEAD, &action, 1).replace(":KEY=VALUE:_default", &format!(":KEY=VALUE:{function}"))
}

/// fish adds no blank behind a `=`.
fn fish(name: &str, keys: &[String]) -> String {
    let keys = keys.iter().map(|key| format!("{key}=")).collect::<Vec<_>>().join(" ");
    format!("complete -c {name} -l set -x -a \"{keys}\"\n")
}
