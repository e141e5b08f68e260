//! A manual page: clap_mangen's sections, with examples and environment variables among them.

use clap::Command;
use clap_mangen::{
    Man,
    roff::{Roff, bold, roman},
};

use crate::cli::call::TOKEN_VARIABLE;

/// A line for the shell, and its effect.
type Example = (&'static str, &'static str);
/// A variable's name, and its meaning.
type Variable = (&'static str, &'static str);

const SETTING: Variable = (
    "SCORING_SECTION__KEY",
    "Sets the key of that section, with two underscores between them: SCORING_STORE__URL sets store.url, and SCORING_HTTP__TLS__CERT sets http.tls.cert. It wins over --config, and --set wins over it.",
);
const TOKEN: Variable = (
    TOKEN_VARIABLE,
    "A partner's token, which signs the calls of --account and --login. --token-file, --admin and --set auth.salt=… go before it; the salts of file and environment do not. Other subcommands ignore it.",
);
const CERTIFICATES: Variable = (
    "SSL_CERT_FILE, SSL_CERT_DIR",
    "A PEM file, or a directory of such files, with the certificates that TLS connections trust, in place of the system's.",
);
const ZONE: Variable =
    ("TZ", "The time zone of the admin's hour and of birthdays, if auth.timezone is local.");
const NO_COLOR: Variable = ("NO_COLOR", "If it is set and not empty, nothing is printed in colours.");
const SYSTEMD: Variable =
    ("NOTIFY_SOCKET, WATCHDOG_USEC", "Set by systemd: readiness and life signs are reported to it.");

/// Renders the page of `command`. `path` is its name without the program's, such as `call online_score`.
pub(super) fn page(command: Command, path: &str) -> std::io::Result<Vec<u8>> {
    // A heading of the help, such as Methods, would not be in capitals like the page's other headings.
    let command = command.subcommand_help_heading("SUBCOMMANDS");
    let has_subcommands = command.get_subcommands().any(|command| !command.is_hide_set());
    let has_extra = command.get_after_help().is_some();
    let has_version = command.get_version().is_some();
    let man = Man::new(command);
    let mut page = Vec::new();
    man.render_title(&mut page)?;
    man.render_name_section(&mut page)?;
    man.render_synopsis_section(&mut page)?;
    man.render_description_section(&mut page)?;
    man.render_options_section(&mut page)?;
    if has_subcommands {
        man.render_subcommands_section(&mut page)?;
    }
    let variables = variables(path);
    if !variables.is_empty() {
        section("ENVIRONMENT", variables).to_writer(&mut page)?;
    }
    if has_extra {
        man.render_extra_section(&mut page)?;
    }
    let examples = examples(path);
    if !examples.is_empty() {
        section("EXAMPLES", examples).to_writer(&mut page)?;
    }
    if has_version {
        man.render_version_section(&mut page)?;
    }
    Ok(page)
}

/// Terms in bold, each with its explanation.
fn section(title: &str, entries: &[(&str, &str)]) -> Roff {
    let mut roff = Roff::new();
    roff.control("SH", [title]);
    for (term, explanation) in entries {
        roff.control("TP", []).text([bold(*term)]).text([roman(*explanation)]);
    }
    roff
}

fn variables(path: &str) -> &'static [Variable] {
    match path.split(' ').next() {
        Some("call") => &[TOKEN, SETTING, CERTIFICATES, ZONE],
        Some("" | "serve") => &[SETTING, CERTIFICATES, ZONE, SYSTEMD],
        Some("check-config" | "interests") => &[SETTING, CERTIFICATES],
        Some("token" | "card") => &[SETTING, ZONE],
        Some("probe" | "partners") => &[SETTING],
        Some("demo") => &[NO_COLOR],
        Some("status") => &[SETTING, NO_COLOR],
        // They read no settings.
        Some(_) | None => &[],
    }
}

/// The examples of the command at `path`. Each is a line that this program accepts, which a test checks.
fn examples(path: &str) -> &'static [Example] {
    match path {
        "" | "serve" => &[
            ("scoring-api", "Serve on 127.0.0.1:8080, with the embedded store in data/scoring.redb."),
            (
                "scoring-api serve --config config/redis.toml --set log.level=debug",
                "Serve with the settings of a file, and one that goes before the file.",
            ),
        ],
        "check-config" => &[
            (
                "scoring-api check-config --config config/redis.toml",
                "Print the settings in effect, with the origin of each.",
            ),
            ("scoring-api check-config --connect", "Also try each store once."),
        ],
        "probe" => &[
            ("scoring-api probe", "Exit with 0 if the service on this host is ready."),
            ("scoring-api probe --live", "Exit with 0 if it lives, ready or not."),
        ],
        "status" => &[
            ("scoring-api status", "Print the state of the service on this host."),
            ("scoring-api status --watch", "Print it again each second, until Ctrl-C."),
            ("scoring-api status --json > status.json", "Write it to a file for another program."),
        ],
        "token" => &[
            (
                "scoring-api token --account acme --login shop",
                "Print the token of a partner that is not registered.",
            ),
            ("scoring-api token --admin", "Print the admin's token, which is valid for this hour."),
        ],
        "call" => &[
            (
                "scoring-api call online_score --phone 79175002040 --email someone@example.com --account acme --login shop",
                "Compute a score, signed with auth.salt.",
            ),
            (
                "scoring-api call clients_interests 1 2 --account acme --login shop --token-file shop.token --url https://scoring.example",
                "Look up two clients as a registered partner, with its own token.",
            ),
            (
                "scoring-api call --batch calls.ndjson --account acme --login shop --token-file shop.token",
                "Make the calls of a file; a line is {\"method\": \"clients_interests\", \"arguments\": {\"client_ids\": [1]}}.",
            ),
        ],
        "call online_score" => &[
            (
                "scoring-api call online_score --phone 79175002040 --email someone@example.com --admin",
                "Compute a score as the admin.",
            ),
            (
                "scoring-api call online_score --arguments - --account acme --login shop --token-file shop.token < person.json",
                "Send a person's data that no other user of this machine sees.",
            ),
        ],
        "call clients_interests" => &[(
            "scoring-api call clients_interests 1 2 --account acme --login shop --token-file shop.token --json",
            "Look up two clients, and print the service's own answer.",
        )],
        "demo" => &[
            ("scoring-api demo", "Watch the store fail and the service recover, for a minute."),
            ("scoring-api demo --check", "The same in about ten seconds, for CI."),
            ("scoring-api demo --record demo.svg", "Also write a picture of the run."),
        ],
        "openapi" => &[("scoring-api openapi > openapi.json", "Write the protocol's description to a file.")],
        "completions" => &[(
            "scoring-api completions bash > /etc/bash_completion.d/scoring-api",
            "Complete this command line in every new bash.",
        )],
        "man" => &[
            ("scoring-api man | man -l -", "Show the program's page."),
            ("scoring-api man call online_score | man -l -", "Show the page of a subcommand."),
        ],
        "interests" | "interests import" => &[
            (
                "scoring-api interests import examples/interests.ndjson",
                "Write all lines of a file, or, if one is bad, change nothing.",
            ),
            (
                "scoring-api interests import clients.csv --replace --yes",
                "Afterwards the store holds exactly this file.",
            ),
        ],
        "interests export" => &[(
            "scoring-api interests export > backup.ndjson",
            "Write all clients to a file, as import reads it.",
        )],
        "interests get" => &[("scoring-api interests get 1 2", "Print two clients.")],
        "interests delete" => &[
            ("scoring-api interests delete 1 2", "Erase two clients."),
            ("scoring-api interests delete --file ids.txt", "Erase the clients of a file, an id a line."),
        ],
        "card" | "card check" => &[(
            "scoring-api card check config/card.toml",
            "Name every fault of a card, or print its properties.",
        )],
        "card explain" => &[(
            "scoring-api card explain config/card.toml --phone 79175002040 --email someone@example.com",
            "Print how the card computes this score.",
        )],
        "card compare" => &[(
            "scoring-api card compare built-in new.toml --batch calls.ndjson",
            "Print how the scores of these calls would change.",
        )],
        "partners" | "partners new" => &[(
            "scoring-api partners new --account acme --login shop --append partners.toml > shop.token",
            "Register a partner, and write its token to a file for call --token-file.",
        )],
        "partners rotate" => &[
            (
                "scoring-api partners rotate --account acme --login shop --overlap 7d --file partners.toml",
                "Print a second token; the first one ends in seven days.",
            ),
            (
                "scoring-api partners rotate --account acme --login shop --overlap 0s --file partners.toml",
                "Replace a token that has leaked.",
            ),
        ],
        "partners disable" => &[(
            "scoring-api partners disable --account acme --login shop --file partners.toml",
            "Refuse all calls of a partner.",
        )],
        "partners enable" => &[(
            "scoring-api partners enable --account acme --login shop --file partners.toml",
            "Accept its calls again.",
        )],
        "partners list" => &[("scoring-api partners list --file partners.toml", "Print all partners.")],
        _ => &[],
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;

    use super::*;
    use crate::cli::{command_line, parse};

    /// All commands below `command`, by path; without `help`, which clap adds.
    fn paths(command: &Command, above: &str, found: &mut Vec<String>) {
        found.push(above.to_owned());
        for inner in command.get_subcommands().filter(|inner| inner.get_name() != "help") {
            paths(inner, format!("{above} {}", inner.get_name()).trim(), found);
        }
    }

    #[test]
    fn every_subcommand_has_examples_that_are_accepted() {
        let mut all = Vec::new();
        paths(&command_line(), "", &mut all);
        for path in all {
            assert!(!examples(&path).is_empty(), "{path}");
            for (line, _) in examples(&path) {
                let command = line.split(['|', '>', '<']).next().unwrap();
                parse(command.split_whitespace().map(OsString::from))
                    .unwrap_or_else(|error| panic!("{line}: {error}"));
            }
        }
    }
}
