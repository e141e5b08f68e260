//! The target of a call, its caller with the salt or token that signs for it, and its deadline.

use std::{env, ffi::OsString, path::PathBuf, time::Duration};

use clap::Args;
use secrecy::{ExposeSecret, SecretString};

use crate::{
    cli::failure::Failure,
    client::{BuildError, Client, Credentials, Identity, Policy},
    config::Settings,
    domain::Authenticator,
    secret_file,
    units::written,
};

/// The longest deadline.
const LONGEST: Duration = Duration::from_secs(3600);
/// Hex digits of a token.
const TOKEN_DIGITS: usize = 128;

/// The environment variable with a partner's token.
pub(in crate::cli) const TOKEN_VARIABLE: &str = "SCORING_TOKEN";

// No doc comment: clap would make it the description of the command.
#[derive(Debug, Args)]
#[command(next_help_heading = "Caller")]
pub(super) struct Target {
    /// The service's URL; calls are posted to /method below it. https:// uses the system's certificates.
    #[arg(long, global = true, default_value = "http://127.0.0.1:8080", help_heading = "Service")]
    url: String,
    /// The partner's account; empty unless given. In a batch: for lines without one.
    #[arg(long, global = true)]
    account: Option<String>,
    /// The partner's login. In a batch: for lines without one.
    #[arg(long, global = true)]
    login: Option<String>,
    /// Sign with the token in this file, as `partners new` or `token` printed it for this account and login. Without it,
    /// the environment variable SCORING_TOKEN may hold the token; without both, auth.salt signs.
    #[arg(long, global = true, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// Call as the admin, signed with auth.admin_salt, as for `token`.
    #[arg(long, global = true)]
    admin: bool,
    /// Time for a call, with all its tries and waits, 1ms to 1h.
    #[arg(long, global = true, default_value = "5s", value_parser = deadline, help_heading = "Service")]
    deadline: Duration,
}

// ===== impl Target =====

impl Target {
    pub(super) fn client(&self, settings: &Settings) -> Result<Client, Failure> {
        // The URL may contain a password, so it is not shown.
        let refused = |error: BuildError| Failure::Usage(format!("--url: {error}"));
        let url = self.url.parse().map_err(|_| refused(BuildError::Url))?;
        let policy = Policy { deadline: self.deadline, ..Policy::default() };
        let credentials = self.credentials(settings, env::var_os(TOKEN_VARIABLE))?;
        Client::new(url, credentials, policy).map_err(refused)
    }

    /// Signs with the token, if one is given, else with the salts of the settings. As for settings, options go before
    /// `variable`, the environment's token: `--token-file`, and the options that ask for a salt.
    fn credentials(&self, settings: &Settings, variable: Option<OsString>) -> Result<Credentials, Failure> {
        let salt_option =
            ["auth.salt", "auth.salt_file"].into_iter().find(|key| settings.origin(key) == Some("--set"));
        let (source, token) = match (&self.token_file, variable) {
            (Some(_), _) if self.admin => {
                let message = "--admin signs with auth.admin_salt: leave out --token-file, or name the token's owner with --account and --login in place of --admin";
                return Err(Failure::Usage(message.to_owned()));
            }
            (Some(file), _) => {
                if let Some(key) = salt_option {
                    let message =
                        format!("--token-file and --set {key} both say how to sign; leave one of them out");
                    return Err(Failure::Usage(message));
                }
                ("--token-file", secret_file::read(file))
            }
            (None, Some(text)) if !self.admin && salt_option.is_none() => {
                (TOKEN_VARIABLE, text.into_string().map(Into::into).map_err(|_| "not valid UTF-8".to_owned()))
            }
            (None, _) => return Ok(Authenticator::new(settings.auth.policy())?.into()),
        };
        let refused = |why: String| Failure::Usage(format!("{source}: {why}"));
        let token = token.and_then(checked).map_err(refused)?;
        let owner = self.identity_of_lines(settings)?.ok_or_else(|| {
            refused(
                "needs --login, and --account unless it is empty: a token belongs to one partner".to_owned(),
            )
        })?;
        Ok(Credentials::token(owner.account, owner.login, token))
    }

    /// The caller of a single call.
    pub(super) fn identity(&self, settings: &Settings) -> Result<Identity, Failure> {
        let missing = || Failure::Usage("--login is required, or --admin".to_owned());
        self.identity_of_lines(settings)?.ok_or_else(missing)
    }

    /// The caller of the lines of a batch that do not name one.
    pub(super) fn identity_of_lines(&self, settings: &Settings) -> Result<Option<Identity>, Failure> {
        match (self.admin, &self.account, &self.login) {
            (true, None, None) => Ok(Some(Identity::new("", settings.auth.admin_login.as_str()))),
            (true, ..) => Err(Failure::Usage("--admin is a login of its own, without an account".to_owned())),
            (false, account, Some(login)) => Ok(Some(Identity::new(account.as_deref().unwrap_or(""), login))),
            (false, None, None) => Ok(None),
            (false, Some(_), None) => Err(Failure::Usage("--account needs --login".to_owned())),
        }
    }
}

/// A token has only one shape, so a wrong file is found before the service answers 403. The text is not shown.
fn checked(token: SecretString) -> Result<SecretString, String> {
    let text = token.expose_secret();
    let is_token =
        text.len() == TOKEN_DIGITS && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    is_token.then_some(token).ok_or_else(|| {
        format!(
            "not a token: expected {TOKEN_DIGITS} lower-case hex digits, as `scoring-api partners new` prints"
        )
    })
}

fn deadline(text: &str) -> Result<Duration, String> {
    let given =
        humantime::parse_duration(text).map_err(|_| "expected a duration such as 250ms".to_owned())?;
    let allowed = Duration::from_millis(1)..=LONGEST;
    let range = || format!("must be from {} to {}", written(*allowed.start()), written(*allowed.end()));
    if allowed.contains(&given) { Ok(given) } else { Err(range()) }
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use rstest::rstest;

    use super::*;

    const DIGITS: &str = "0123456789abcdef";

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        target: Target,
    }

    /// Whether `line` signs with a token, with this variable and `--set auth.salt=…` or without.
    fn has_token(line: &str, variable: Option<&str>, set: &[String]) -> Result<bool, String> {
        let line = Line::parse_from(["call"].into_iter().chain(line.split_whitespace()));
        let settings = Settings::load(None, [], set).unwrap();
        let credentials = line.target.credentials(&settings, variable.map(OsString::from));
        credentials.map(|given| given.identity().is_some()).map_err(|failure| failure.to_string())
    }

    #[rstest]
    #[case::nothing("--login L", None, false)]
    #[case::variable("--account A --login L", Some(""), true)]
    #[case::variable_for_a_partner_without_an_account("--login L", Some(""), true)]
    #[case::admin_goes_before_the_variable("--admin", Some(""), false)]
    fn the_variable_signs_unless_an_option_does(
        #[case] line: &str,
        #[case] variable: Option<&str>,
        #[case] expected: bool,
    ) {
        let token = DIGITS.repeat(8);
        let variable = variable.map(|_| token.as_str());
        assert_eq!(has_token(line, variable, &[]), Ok(expected));
    }

    #[test]
    fn a_salt_on_the_command_line_goes_before_the_variable() {
        let token = DIGITS.repeat(8);
        assert_eq!(has_token("--login L", Some(&token), &["auth.salt=x".to_owned()]), Ok(false));
        assert_eq!(has_token("--login L", Some(&token), &["log.level=warn".to_owned()]), Ok(true));
    }

    #[rstest]
    #[case::empty("")]
    #[case::the_salt("SECRET")]
    #[case::short(&DIGITS.repeat(7))]
    #[case::capitals(&DIGITS.to_uppercase().repeat(8))]
    #[case::a_blank(&format!("{} ", DIGITS.repeat(8)))]
    #[case::other_letters(&"SECRET00".repeat(16))]
    fn a_text_that_is_not_a_token_is_refused_and_not_shown(#[case] text: &str) {
        let error = has_token("--login L", Some(text), &[]).unwrap_err();
        let expected = "SCORING_TOKEN: not a token: expected 128 lower-case hex digits, as `scoring-api partners new` prints";
        assert_eq!(error, expected);
    }

    #[test]
    fn a_token_without_its_owner_is_refused() {
        let token = DIGITS.repeat(8);
        let error = has_token("", Some(&token), &[]).unwrap_err();
        let expected =
            "SCORING_TOKEN: needs --login, and --account unless it is empty: a token belongs to one partner";
        assert_eq!(error, expected);
        assert_eq!(has_token("--account A", Some(&token), &[]), Err("--account needs --login".to_owned()));
    }
}
