//! `partners`: brings in, rotates, disables, enables and lists the partners of a partners' file.
//!
//! # Layout
//!
//! - `edit`: changes of the file's text; pure
//! - `file`: reads the file and replaces it, safely
//! - `list`: the table for people

mod edit;
mod file;
mod list;

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use base16ct::lower::encode_string as lower_hex;
use chrono::{DateTime, SubsecRound, TimeDelta, Utc};
use clap::{Args, Subcommand};
use rustls::crypto::ring;
use secrecy::{ExposeSecret, SecretString, zeroize::Zeroize};

use self::file::Opened;
use super::{
    audit,
    failure::{Failure, say},
    output,
};
use crate::{
    config::Settings,
    domain::{Partner, PartnerToken, TokenDigest, token_of},
    wall_clock,
};

/// The longest overlap of two tokens.
const LONGEST_OVERLAP: Duration = Duration::from_secs(366 * 24 * 3600);

const RELOAD: &str = "send SIGHUP to the service, or start it again";

/// Manage the registered partners.
#[derive(Debug, Subcommand)]
pub(super) enum PartnersCommand {
    /// Register a partner: print its token once, and append its entry, which has only the token's digest.
    New(NewArgs),
    /// Print a second token of a partner, and let the first one end after the overlap.
    Rotate(RotateArgs),
    /// Refuse all calls of a partner.
    Disable(PartnerArgs),
    /// Accept the calls of a disabled partner again.
    Enable(PartnerArgs),
    /// Print all partners, without digests.
    List(FileArgs),
}

#[derive(Debug, Args)]
pub(super) struct Named {
    /// The partner's account, in place of --account.
    #[arg(value_name = "ACCOUNT", requires = "first_login", conflicts_with_all = ["account", "login"])]
    first_account: Option<String>,
    /// The partner's login, in place of --login.
    #[arg(value_name = "LOGIN")]
    first_login: Option<String>,
    /// The partner's account; empty by default.
    #[arg(long, default_value = "", hide_default_value = true)]
    account: String,
    /// The partner's login.
    #[arg(long, required_unless_present = "first_login")]
    login: Option<String>,
}

#[derive(Debug, Args)]
pub(super) struct FileArgs {
    /// The partners' file [default: auth.partners_file]
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
}

#[derive(Debug, Args)]
#[command(after_help = "\
The token is made with a random salt of 256 bits, which is not kept, so the token cannot be made again. A lost token is
replaced with `rotate`. The file is made if it does not exist, for its owner alone.")]
pub(super) struct NewArgs {
    #[command(flatten)]
    named: Named,
    /// The partners' file to append to [default: auth.partners_file]
    #[arg(long, value_name = "FILE", alias = "file")]
    append: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(super) struct RotateArgs {
    #[command(flatten)]
    named: Named,
    #[command(flatten)]
    file: FileArgs,
    /// How long the present token stays valid, up to 366d; 0s ends it at once
    #[arg(long, default_value = "7d", value_parser = overlap)]
    overlap: Duration,
}

#[derive(Debug, Args)]
pub(super) struct PartnerArgs {
    #[command(flatten)]
    named: Named,
    #[command(flatten)]
    file: FileArgs,
}

// ===== impl Named =====

impl Named {
    fn account_and_login(&self) -> (&str, &str) {
        // clap demands a login, in one of the two places.
        let login = self.first_login.as_ref().or(self.login.as_ref());
        (self.first_account.as_ref().unwrap_or(&self.account), login.map_or("", String::as_str))
    }
}

pub(super) fn run(command: PartnersCommand, settings: &Settings) -> Result<(), Failure> {
    audit::to_stderr(settings);
    let path = |given: Option<PathBuf>, flag: &str| {
        let path = given.or_else(|| settings.auth.partners_file.clone());
        path.ok_or_else(|| {
            Failure::Usage(format!("auth.partners_file is not set; name the file with {flag} FILE"))
        })
    };
    let admin_login = settings.auth.admin_login.as_str();
    match command {
        PartnersCommand::New(NewArgs { named, append }) => {
            new(&named, &path(append, "--append")?, admin_login)
        }
        PartnersCommand::Rotate(RotateArgs { named, file, overlap }) => {
            rotate(&named, &path(file.file, "--file")?, admin_login, overlap, wall_clock::now())
        }
        PartnersCommand::Disable(PartnerArgs { named, file }) => {
            enable(&named, &path(file.file, "--file")?, admin_login, false)
        }
        PartnersCommand::Enable(PartnerArgs { named, file }) => {
            enable(&named, &path(file.file, "--file")?, admin_login, true)
        }
        PartnersCommand::List(FileArgs { file }) => {
            let read = crate::config::partners::PartnersFile::read(&path(file, "--file")?, admin_login)?;
            Ok(output::print(&list::table(&read, wall_clock::now()))?)
        }
    }
}

fn new(named: &Named, path: &Path, admin_login: &str) -> Result<(), Failure> {
    let (account, login) = named.account_and_login();
    if login == admin_login {
        return Err(Failure::Usage(format!("the login {login} is the admin's; choose another")));
    }
    let opened = Opened::open_or_make(path, admin_login)?;
    if let Some(earlier) = opened.file.partners.get(account, login) {
        return Err(Failure::Usage(format!(
            "{} has the same account and login, joined; give it another token with `scoring-api partners rotate`",
            earlier.name()
        )));
    }
    let (token, digest) = make_token(account, login)?;
    let made = Partner::new(account, login, &[PartnerToken { digest, until: None }]);
    let text = edit::append(&opened.text, account, login, digest);
    let prepared = opened.prepare(&text, &made)?;
    print_token(&token)?;
    prepared.replace()?;
    audit::partner("new", path, account, login);
    say(format_args!("registered {}; {RELOAD}", made.name()));
    Ok(())
}

fn rotate(
    named: &Named,
    path: &Path,
    admin_login: &str,
    overlap: Duration,
    now: DateTime<Utc>,
) -> Result<(), Failure> {
    let opened = Opened::open(path, admin_login)?;
    let (account, login) = named.account_and_login();
    let before = opened.find(account, login)?;
    let (token, digest) = make_token(before.account(), before.login())?;
    let tokens = rotated(before, digest, overlap, now)?;
    let text =
        edit::set_tokens(&opened.text, before, &tokens).ok_or_else(|| by_hand(path, &opened.text, before))?;
    let mut after = Partner::new(before.account(), before.login(), &tokens);
    (after.enabled, after.explain, after.methods) = (before.enabled, before.explain, before.methods);
    let prepared = opened.prepare(&text, &after)?;
    print_token(&token)?;
    prepared.replace()?;
    audit::partner("rotate", path, after.account(), after.login());
    let ends = tokens
        .iter()
        .find_map(|token| token.until)
        .map(|until| format!("; its earlier token ends at {}", edit::written(until)));
    say(format_args!("{} has a new token{}; {RELOAD}", after.name(), ends.unwrap_or_default()));
    Ok(())
}

/// The tokens after a rotation at `now`: the one that is valid, with an end, and the new one.
///
/// # Errors
///
/// If two are valid and stay so for the overlap, so that there would be three.
fn rotated(
    partner: &Partner,
    digest: TokenDigest,
    overlap: Duration,
    now: DateTime<Utc>,
) -> Result<Vec<PartnerToken>, Failure> {
    let live: Vec<_> = partner.tokens().filter(|token| token.is_live(now)).copied().collect();
    // Without an overlap the old tokens end at once, however many there are: a token was lost, or has leaked.
    if live.len() > 1 && !overlap.is_zero() {
        let ends = live.iter().filter_map(|token| token.until).min().map(edit::written);
        return Err(Failure::Usage(format!(
            "{} has two valid tokens already; wait until one of them ends{}, or take one out of the file",
            partner.name(),
            ends.map(|end| format!(" at {end}")).unwrap_or_default(),
        )));
    }
    let end = now.trunc_subsecs(0) + TimeDelta::from_std(overlap).unwrap_or(TimeDelta::zero());
    let old = live
        .into_iter()
        .map(|token| PartnerToken { until: Some(token.until.map_or(end, |until| until.min(end))), ..token });
    let old = old.filter(|token| token.is_live(now));
    Ok(old.chain([PartnerToken { digest, until: None }]).collect())
}

fn enable(named: &Named, path: &Path, admin_login: &str, enabled: bool) -> Result<(), Failure> {
    let opened = Opened::open(path, admin_login)?;
    let (account, login) = named.account_and_login();
    let before = opened.find(account, login)?;
    let text = edit::set_enabled(&opened.text, before, enabled)
        .ok_or_else(|| by_hand(path, &opened.text, before))?;
    let mut after = before.clone();
    after.enabled = enabled;
    opened.prepare(&text, &after)?.replace()?;
    let (act, done) = if enabled { ("enable", "enabled") } else { ("disable", "disabled") };
    audit::partner(act, path, after.account(), after.login());
    say(format_args!("{done} {}; {RELOAD}", after.name()));
    Ok(())
}

/// No change of the entry would have been the right one. Names its line.
fn by_hand(path: &Path, text: &str, partner: &Partner) -> Failure {
    let line = edit::line_of(text, partner).map(|line| format!(":{line}")).unwrap_or_default();
    Failure::Usage(format!(
        "{}{line}: the entry is not written as `partners new` does ([[partner]], then account, login and tokens = [{{ sha256 = … \
         }}], each on a line of its own), so it cannot be changed here, and stays as it is; write it so, or change it by hand",
        path.display(),
    ))
}

/// A token that is made with a salt of 256 random bits, and its digest. The salt is wiped.
fn make_token(account: &str, login: &str) -> Result<(SecretString, TokenDigest), Failure> {
    let mut random = [0; 32];
    let filled = ring::default_provider().secure_random.fill(&mut random);
    filled.map_err(|_| Failure::Start(std::io::Error::other("the system provides no random numbers")))?;
    let mut salt = lower_hex(&random);
    let token = token_of(account, login, &salt);
    random.zeroize();
    salt.zeroize();
    let (digest, _) = TokenDigest::of(&token);
    Ok((token.into(), digest))
}

/// Called before the file is replaced: a token that is registered and not printed would be lost, and at a rotation it
/// would end the partner's working one.
fn print_token(token: &SecretString) -> Result<(), Failure> {
    output::print(&format!("{}\n", token.expose_secret())).map_err(Failure::TokenNotPrinted)
}

fn overlap(text: &str) -> Result<Duration, String> {
    let overlap = humantime::parse_duration(text).map_err(|_| "expected a duration such as 7d".to_owned())?;
    if overlap <= LONGEST_OVERLAP { Ok(overlap) } else { Err("must be at most 366d".to_owned()) }
}

#[cfg(test)]
mod tests;
