//! The target of a call, its caller, and its deadline.

use std::time::Duration;

use clap::Args;

use crate::{
    cli::failure::Failure,
    client::{BuildError, Client, Identity, Policy},
    config::Settings,
    domain::Authenticator,
    units::written,
};

/// The longest deadline.
const LONGEST: Duration = Duration::from_secs(3600);

// No doc comment: clap would make it the description of the command.
#[derive(Debug, Args)]
pub(super) struct Target {
    /// The service's URL; calls are posted to /method below it. https:// uses the system's certificates.
    #[arg(long, global = true, default_value = "http://127.0.0.1:8080")]
    url: String,
    /// The partner's account; empty unless given. In a batch: for lines without one.
    #[arg(long, global = true)]
    account: Option<String>,
    /// The partner's login. In a batch: for lines without one.
    #[arg(long, global = true)]
    login: Option<String>,
    /// Call as the admin. The salt is auth.salt or auth.admin_salt, as for `token`.
    #[arg(long, global = true)]
    admin: bool,
    /// Time for a call, with all its tries and waits, 1ms to 1h.
    #[arg(long, global = true, default_value = "5s", value_parser = deadline)]
    deadline: Duration,
}

// ===== impl Target =====

impl Target {
    pub(super) fn client(&self, settings: &Settings) -> Result<Client, Failure> {
        // The URL may contain a password, so it is not shown.
        let refused = |error: BuildError| Failure::Usage(format!("--url: {error}"));
        let url = self.url.parse().map_err(|_| refused(BuildError::Url))?;
        let authenticator = Authenticator::new(settings.auth.policy())?;
        let policy = Policy { deadline: self.deadline, ..Policy::default() };
        Client::new(url, authenticator, policy).map_err(refused)
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

fn deadline(text: &str) -> Result<Duration, String> {
    let given =
        humantime::parse_duration(text).map_err(|_| "expected a duration such as 250ms".to_owned())?;
    let allowed = Duration::from_millis(1)..=LONGEST;
    let range = || format!("must be from {} to {}", written(*allowed.start()), written(*allowed.end()));
    if allowed.contains(&given) { Ok(given) } else { Err(range()) }
}
