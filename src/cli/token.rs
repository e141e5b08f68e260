//! `token`: prints a valid token, to try the service with other tools.

use clap::Args;

use super::{failure::Failure, output};
use crate::{config::Settings, domain::Authenticator, wall_clock};

/// The owner of the token.
#[derive(Debug, Args)]
pub(super) struct TokenArgs {
    /// The partner's account; empty by default.
    #[arg(long, default_value = "", conflicts_with = "admin")]
    account: String,
    /// The partner's login.
    #[arg(long, required_unless_present = "admin", conflicts_with = "admin")]
    login: Option<String>,
    /// Print the admin's token instead. It is valid for the current hour in auth.timezone.
    #[arg(long)]
    admin: bool,
}

pub(super) fn run(args: &TokenArgs, settings: &Settings) -> Result<(), Failure> {
    let authenticator = Authenticator::new(settings.auth.policy())?;
    let token = match &args.login {
        // The service would expect an admin's token, so a partner's could never match.
        Some(login) if *login == settings.auth.admin_login => {
            let message = format!("the login {login} is the admin's; use --admin for its token");
            return Err(Failure::Usage(message));
        }
        // The service would not accept a token of the salt.
        Some(login) if settings.auth.partners.partners.get(&args.account, login).is_some() => {
            let message = "this partner is registered, and its token was printed once; `scoring-api partners rotate` makes another";
            return Err(Failure::Usage(message.to_owned()));
        }
        Some(_) if !settings.auth.shared_salt => {
            let message = "auth.shared_salt = false: only registered partners have tokens, see `scoring-api partners new`";
            return Err(Failure::Usage(message.to_owned()));
        }
        Some(login) => authenticator.partner_token(&args.account, login),
        None => authenticator.admin_token(wall_clock::now()),
    };
    Ok(output::print(&format!("{token}\n"))?)
}
