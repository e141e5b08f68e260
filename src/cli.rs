//! The command line: one file per subcommand.
//!
//! # Layout
//!
//! - `serve`, `check_config`, `probe`, `status`, `token`, `call`, `interests`, `card`, `partners`, `demo`, `openapi`, `about`
//!   (completions and manual pages): the subcommands
//! - `admin`: asks the operators' listener of the service on this host
//! - `arguments`: the arguments of a call, from options or as JSON
//! - `source`: the sources of the settings, which every subcommand but `demo` accepts
//! - `failure`: all errors, and the exit code of each
//! - `signals`: SIGINT and SIGTERM, and the exit codes that a shell expects after them
//! - `input`, `lines`: a file or standard input, line by line; `output`: standard output, which may be closed at any
//!   time
//! - `progress`: the progress bar at a terminal
//! - `reload`: SIGHUP, which reloads the settings
//! - `audit`: the log lines of operators' acts
//! - `systemd`: notifications to systemd

mod about;
mod admin;
mod arguments;
mod audit;
mod call;
mod card;
mod check_config;
mod demo;
mod failure;
mod input;
mod interests;
mod line_fault;
mod lines;
mod openapi;
mod output;
mod partners;
mod probe;
mod progress;
mod reload;
mod serve;
mod signals;
mod source;
mod status;
mod systemd;
mod token;

use std::{ffi::OsString, process::ExitCode};

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};

use crate::build_info::VERSION_AND_REVISION;

use self::{
    about::{CompletionsArgs, ManArgs},
    call::CallArgs,
    card::CardCommand,
    check_config::CheckConfigArgs,
    demo::DemoArgs,
    failure::Failure,
    interests::InterestsCommand,
    partners::PartnersCommand,
    probe::ProbeArgs,
    source::Source,
    status::StatusArgs,
    token::TokenArgs,
};

/// A scoring API for partners.
#[derive(Debug, Parser)]
#[command(
    name = "scoring-api",
    version = VERSION_AND_REVISION,
    after_help = "Exit codes: 0 done; 1 failed; 2 wrong usage or configuration; 130 and 143 ended by SIGINT and SIGTERM."
)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the service (the default). SIGTERM stops it gracefully, a second one at once; SIGHUP reloads the settings.
    Serve,
    /// Print the settings in effect as TOML, with the origin of each, and with secrets hidden.
    CheckConfig(CheckConfigArgs),
    /// Ask the service on this host, at admin.bind, whether it is ready. Exits with 0 if it is and 1 if not.
    Probe(ProbeArgs),
    /// Print the state of the service on this host, as its page at admin.bind shows it. Exits with 1 if it does not answer.
    Status(StatusArgs),
    /// Print a token for a partner, or for the admin.
    Token(TokenArgs),
    /// Sign a call, or a file of calls, send it to a running service, and print the answers.
    Call(Box<CallArgs>),
    /// Show in one minute how the service fails and recovers: a real service and client, on a store that fails on command. Needs no
    /// other server, and reads no settings. Exits with 0 if every answer was right and every phase was seen, and 1 if not.
    Demo(DemoArgs),
    /// Print the protocol as an OpenAPI document.
    Openapi,
    /// Print a script that completes this command line in a shell.
    Completions(CompletionsArgs),
    /// Print a manual page, in roff: scoring-api man | man -l -
    Man(ManArgs),
    /// Read and write clients' interests in the persistent store.
    #[command(subcommand)]
    Interests(InterestsCommand),
    /// Check, explain or compare scorecards, without a store or a service.
    #[command(subcommand)]
    Card(CardCommand),
    /// Register, rotate, disable, enable and list partners that have tokens of their own.
    #[command(subcommand)]
    Partners(PartnersCommand),
}

/// Runs the subcommand in `arguments`, whose first item is the program's own name.
///
/// Each error is printed on standard error as one line, and determines the exit code.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let (cli, source) = match parse(arguments) {
        Ok(parsed) => parsed,
        // Help and version end here as well. A closed output is not an error for them.
        Err(error) => {
            let _ = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(failure::USAGE));
        }
    };
    match execute(cli.command.unwrap_or(Command::Serve), &source) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}

fn execute(command: Command, source: &Source) -> Result<(), Failure> {
    let settings = || source.load();
    match command {
        Command::Serve => serve::run(settings()?, source),
        Command::CheckConfig(args) => check_config::run(&args, &settings()?),
        Command::Probe(args) => probe::run(&args, &settings()?),
        Command::Status(args) => status::run(&args, &settings()?),
        Command::Token(args) => token::run(&args, &settings()?),
        Command::Call(args) => call::run(*args, &settings()?),
        Command::Demo(args) => demo::run(&args),
        Command::Openapi => openapi::run(),
        Command::Completions(args) => about::completions(&args, command_line()),
        Command::Man(args) => about::man(&args, command_line()),
        Command::Interests(command) => interests::run(command, &settings()?),
        Command::Card(command) => card::run(command, settings),
        // It makes and mends the file, so the file need not be valid yet.
        Command::Partners(command) => partners::run(command, &source.load_without_files()?),
    }
}

/// The subcommand that reads no settings of the user.
const DEMO: &str = "demo";

/// The whole command line, with the arguments that every subcommand accepts.
fn command_line() -> clap::Command {
    Source::accepted_by_all(Cli::command()).mut_subcommand(DEMO, Source::hidden_in)
}

fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<(Cli, Source), clap::Error> {
    let mut command = command_line();
    let matches = command.try_get_matches_from_mut(arguments)?;
    let source = Source::gather(&matches, &mut command)?;
    let cli = Cli::from_arg_matches(&matches).map_err(|error| error.format(&mut command))?;
    if matches!(cli.command, Some(Command::Demo(_))) {
        source.must_be_absent(DEMO, &mut command)?;
    }
    Ok((cli, source))
}

#[cfg(test)]
mod tests {
    use clap::error::ErrorKind;
    use rstest::rstest;

    use super::*;

    fn parsed(line: &str) -> Result<(Cli, Source), clap::Error> {
        let words = ["scoring-api"].into_iter().chain(line.split_whitespace());
        parse(words.map(OsString::from))
    }

    #[test]
    fn the_parser_is_sound() {
        command_line().debug_assert();
    }

    #[rstest]
    #[case::nothing("")]
    #[case::serve("serve")]
    #[case::config("--config x.toml")]
    #[case::config_after("serve --config x.toml")]
    #[case::check("check-config --set a.b=c")]
    #[case::probe("probe --live")]
    #[case::status("status")]
    #[case::watched_as_json("status --watch --json")]
    #[case::partner("token --account A --login L")]
    #[case::no_account("token --login L")]
    #[case::admin("token --admin")]
    #[case::import("interests import x.csv")]
    #[case::import_from_stdin("interests import - --format csv --skip-bad")]
    #[case::export("interests export")]
    #[case::score("call online_score --phone 7 --login L --gender 1")]
    #[case::explained("call online_score --phone 7 --login L --explain")]
    #[case::card_check("card check x.toml")]
    #[case::card_explain("card explain x.toml --phone 7 --gender 1 --text")]
    #[case::card_explain_json("card explain built-in --arguments - --json")]
    #[case::card_compare("card compare built-in x.toml --batch - --json")]
    #[case::target_first("call --url http://h --login L --deadline 1s online_score --json")]
    #[case::raw_arguments("call clients_interests --arguments - --admin")]
    #[case::ids("call clients_interests 1 -2 --date 01.01.2000")]
    #[case::batch("call --batch - --concurrency 4096 --login L")]
    #[case::token_file("call --token-file t online_score --login L --phone 7")]
    #[case::demo("demo")]
    #[case::recorded_smoke_test("demo --check --record x.svg")]
    #[case::openapi("openapi")]
    #[case::completions("completions bash")]
    #[case::man("man call online_score")]
    #[case::new_partner("partners new --account A --login L --append p.toml")]
    #[case::rotate("partners rotate --account A --login L --overlap 0s --file p.toml")]
    #[case::disable("partners disable --account A --login L")]
    #[case::list("partners list")]
    #[case::get("interests get 1 -2 9223372036854775807")]
    fn accepts(#[case] line: &str) {
        parsed(line).unwrap_or_else(|error| panic!("{error}"));
    }

    #[rstest]
    #[case::unknown("serv", ErrorKind::InvalidSubcommand)]
    #[case::unknown_flag("serve --port 80", ErrorKind::UnknownArgument)]
    #[case::two_configs("--config a --config b", ErrorKind::ArgumentConflict)]
    #[case::two_configs_apart("--config a serve --config b", ErrorKind::ArgumentConflict)]
    #[case::no_login("token --account A", ErrorKind::MissingRequiredArgument)]
    #[case::admin_and_login("token --admin --login L", ErrorKind::ArgumentConflict)]
    #[case::admin_and_account("token --admin --account A", ErrorKind::ArgumentConflict)]
    #[case::no_file("interests import", ErrorKind::MissingRequiredArgument)]
    #[case::other_format("interests import x --format xml", ErrorKind::InvalidValue)]
    #[case::call_alone("call", ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand)]
    #[case::score_both_ways("call online_score --phone 7 --arguments {}", ErrorKind::ArgumentConflict)]
    #[case::explain_raw("call online_score --explain --arguments {}", ErrorKind::ArgumentConflict)]
    #[case::card_alone("card", ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand)]
    #[case::card_both_ways("card explain x --phone 7 --arguments {}", ErrorKind::ArgumentConflict)]
    #[case::card_both_formats("card explain x --json --text", ErrorKind::ArgumentConflict)]
    #[case::no_batch("card compare x y", ErrorKind::MissingRequiredArgument)]
    #[case::ids_both_ways("call clients_interests 1 --arguments {}", ErrorKind::ArgumentConflict)]
    #[case::no_ids_to_call("call clients_interests", ErrorKind::MissingRequiredArgument)]
    #[case::json_and_text("call online_score --json --text", ErrorKind::ArgumentConflict)]
    #[case::no_time("call --deadline 0s online_score", ErrorKind::ValueValidation)]
    #[case::too_much_time("call --deadline 61m online_score", ErrorKind::ValueValidation)]
    #[case::nothing_at_a_time("call --batch - --concurrency 0", ErrorKind::ValueValidation)]
    #[case::too_many_at_a_time("call --batch - --concurrency 4097", ErrorKind::ValueValidation)]
    #[case::token_in_sight("call --token abc online_score", ErrorKind::UnknownArgument)]
    #[case::configured_demo("demo --config x.toml", ErrorKind::ArgumentConflict)]
    #[case::configured_before_demo("--config x.toml demo --check", ErrorKind::ArgumentConflict)]
    #[case::demo_with_a_setting("demo --check --set a.b=c", ErrorKind::ArgumentConflict)]
    #[case::setting_before_demo("--set a.b=c demo", ErrorKind::ArgumentConflict)]
    #[case::recorded_nowhere("demo --record", ErrorKind::InvalidValue)]
    #[case::other_shell("completions dos", ErrorKind::InvalidValue)]
    #[case::no_ids("interests get", ErrorKind::MissingRequiredArgument)]
    #[case::id_not_a_number("interests get one", ErrorKind::ValueValidation)]
    #[case::id_too_large("interests get 9223372036854775808", ErrorKind::ValueValidation)]
    #[case::partner_without_login("partners new --account A", ErrorKind::MissingRequiredArgument)]
    #[case::endless_overlap("partners rotate --login L --overlap 367d", ErrorKind::ValueValidation)]
    #[case::interests_alone("interests", ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand)]
    fn refuses(#[case] line: &str, #[case] expected: ErrorKind) {
        let error = parsed(line).unwrap_err();
        assert_eq!(error.kind(), expected);
        assert_eq!(error.exit_code(), 2);
    }

    #[rstest]
    #[case::serve("serve", true)]
    #[case::demo("demo", false)]
    fn help_shows_settings_only_where_they_count(#[case] subcommand: &str, #[case] shown: bool) {
        let help = parsed(&format!("{subcommand} --help")).unwrap_err().to_string();
        assert_eq!([help.contains("--set"), help.contains("--config")], [shown; 2], "{help}");
    }

    #[test]
    fn settings_on_all_levels_add_up_from_left_to_right() {
        let line = "--set a=1 --config x.toml interests --set b=2 export --set a=3 --set c=4";
        let (_, source) = parsed(line).unwrap();
        assert_eq!(source.assignments, ["a=1", "b=2", "a=3", "c=4"]);
        assert_eq!(source.config.unwrap().to_str(), Some("x.toml"));
    }
}
