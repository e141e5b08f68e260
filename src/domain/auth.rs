//! Authentication: tokens, and how they are checked.
//!
//! A token is a digest of public parts and a salt. The salt alone protects a partner from everyone else. So it stays in
//! `secrecy`, and the time of a comparison reveals nothing.

use std::{hint::black_box, sync::Arc, time::Duration};

use base16ct::lower::encode_string as lower_hex;
use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha512};
use subtle::{Choice, ConstantTimeEq};

use super::method::Method;
use super::partners::{Partner, Partners, Refused};
use super::requests::MethodRequest;
use super::timezone::TimeZoneChoice;

/// The longest that an admin's token may outlive its hour. With more, a third token would be valid.
pub const MAX_ADMIN_GRACE: Duration = Duration::from_secs(3600);

/// How calls are authenticated: the `auth` settings that tokens depend on.
#[derive(Clone, Debug)]
pub struct AuthPolicy {
    /// The last part of the text whose digest is a partner's token.
    pub salt: SecretString,
    /// The salt that tokens were made with before a rotation, and that is still valid.
    pub previous_salt: Option<SecretString>,
    /// The last part of the text whose digest is the admin's token.
    pub admin_salt: SecretString,
    /// The admin's login, compared exactly.
    pub admin_login: String,
    /// The time zone of the admin's hour and of today's date.
    pub timezone: TimeZoneChoice,
    /// How long after the end of an hour its admin token stays valid; at most [`MAX_ADMIN_GRACE`].
    pub admin_grace: Duration,
}

/// The contract's own salts, of partners and of the admin. Anyone can make tokens with them.
pub const PUBLIC_SALTS: [&str; 2] = ["Otus", "42"];

/// Why an [`AuthPolicy`] is invalid.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidAuthPolicy {
    /// The grace is longer than [`MAX_ADMIN_GRACE`].
    #[error("admin_grace is {0:?}, but must be at most 1h")]
    GraceTooLong(Duration),
}

/// The token does not match. The error does not tell whether the account, the login or the token was wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the token does not match")]
pub struct Forbidden;

/// A refused call, and the facts about it that only operators see.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejected {
    /// Why it is refused.
    pub reason: Refused,
    /// The registered partner with the call's account and login. The caller need not be this partner.
    pub partner: Option<Arc<Partner>>,
}

/// An authenticated caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Caller {
    /// The service's own administrator.
    Admin,
    /// A partner by a shared salt, with the account and login that the request names.
    Partner(Salt),
    /// A registered partner, by a token of its own.
    Registered(Arc<Partner>),
}

/// The salt of a partner's token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Salt {
    /// The one that tokens are made with now.
    Current,
    /// The one before a rotation.
    Previous,
}

// ===== impl AuthPolicy =====

impl AuthPolicy {
    /// The contract's example: [`PUBLIC_SALTS`], the login `admin`, and the local time zone. For benchmarks and trials.
    #[must_use]
    pub fn public() -> Self {
        let [salt, admin_salt] = PUBLIC_SALTS.map(SecretString::from);
        Self {
            salt,
            previous_salt: None,
            admin_salt,
            admin_login: "admin".to_owned(),
            timezone: TimeZoneChoice::Local,
            admin_grace: Duration::ZERO,
        }
    }
}

// ===== impl Caller =====

impl Caller {
    /// The kinds of tokens, in the log and in metrics.
    pub const TOKENS: [&'static str; 4] = ["admin", "salt", "previous", "partner"];

    /// The kind of its token, one of [`Caller::TOKENS`].
    #[must_use]
    pub const fn token(&self) -> &'static str {
        match self {
            Self::Admin => "admin",
            Self::Partner(Salt::Current) => "salt",
            Self::Partner(Salt::Previous) => "previous",
            Self::Registered(_) => "partner",
        }
    }

    /// Whether it may ask for the reasons of a score.
    #[must_use]
    pub fn may_explain(&self) -> bool {
        match self {
            Self::Admin | Self::Partner(_) => true,
            Self::Registered(partner) => partner.explain,
        }
    }
}

/// Creates and checks tokens by one [`AuthPolicy`].
#[derive(Clone, Debug)]
pub struct Authenticator {
    policy: AuthPolicy,
    grace: TimeDelta,
    partners: Arc<Partners>,
    /// Whether a caller that is not registered may call by a salt.
    shared_salt: bool,
    /// Has no token. It is checked in place of a partner that does not exist, for the sake of equal work.
    absent: Partner,
}

// ===== impl Authenticator =====

impl Authenticator {
    /// An authenticator for `policy`.
    ///
    /// # Errors
    ///
    /// [`InvalidAuthPolicy`], if the policy is invalid.
    pub fn new(policy: AuthPolicy) -> Result<Self, InvalidAuthPolicy> {
        let grace = policy.admin_grace;
        let too_long = InvalidAuthPolicy::GraceTooLong(grace);
        if grace > MAX_ADMIN_GRACE {
            return Err(too_long);
        }
        let grace = TimeDelta::from_std(grace).map_err(|_| too_long)?;
        let absent = Partner::new("", "", &[]);
        Ok(Self { policy, grace, partners: Arc::default(), shared_salt: true, absent })
    }

    /// Adds registered partners. With `shared_salt`, callers that are not registered may still call by a salt.
    #[must_use]
    pub fn with_partners(self, partners: Arc<Partners>, shared_salt: bool) -> Self {
        Self { partners, shared_salt, ..self }
    }

    /// Returns the caller of `request` at `now`.
    ///
    /// The comparison takes the same time wherever the tokens differ, and all candidates are always tried.
    ///
    /// # Errors
    ///
    /// [`Rejected`], if the token does not match a valid one, or its partner may not make this call.
    pub fn check(&self, request: &MethodRequest, now: DateTime<Utc>) -> Result<Caller, Rejected> {
        if request.login == self.policy.admin_login {
            return self.check_admin(request.token.expose(), now);
        }
        if self.partners.is_empty() && self.shared_salt {
            return self.by_salt(request).ok_or(Rejected { reason: Refused::Token, partner: None });
        }
        let found = self.partners.get(&request.account, &request.login);
        let by_own_token =
            |partner: &Partner| partner.check(request.token.expose(), Method::named(&request.method), now);
        // A registered partner never gets to the salt: a disabled one would be back in. A refused call does the work of
        // the other branch too, so its time does not tell whether a partner is registered.
        let reason = match found {
            Some(partner) => match by_own_token(partner) {
                Ok(()) => return Ok(Caller::Registered(partner.clone())),
                Err(reason) => {
                    self.repeat_salt_work(request);
                    reason
                }
            },
            None if self.shared_salt => {
                if let Some(caller) = self.by_salt(request) {
                    return Ok(caller);
                }
                _ = black_box(by_own_token(&self.absent));
                Refused::Token
            }
            None => {
                _ = black_box(by_own_token(&self.absent));
                Refused::Unknown
            }
        };
        Err(Rejected { reason, partner: found.cloned() })
    }

    fn check_admin(&self, token: &str, now: DateTime<Utc>) -> Result<Caller, Rejected> {
        // Within the grace, `now - grace` is still in the last hour; after it, both candidates are the same.
        let earlier = now.checked_sub_signed(self.grace).unwrap_or(now);
        let current = same(&self.admin_token(now), token);
        let previous = same(&self.admin_token(earlier), token);
        let matches = bool::from(current | previous);
        matches.then_some(Caller::Admin).ok_or(Rejected { reason: Refused::Token, partner: None })
    }

    /// The caller, if its token is of one of the shared salts.
    fn by_salt(&self, request: &MethodRequest) -> Option<Caller> {
        let token = request.token.expose();
        let by = |salt| same(&self.token_by(salt, &request.account, &request.login), token);
        let current = by(&self.policy.salt);
        let previous = self.policy.previous_salt.as_ref().map_or(Choice::from(0), by);
        let salt = if previous.into() { Salt::Previous } else { Salt::Current };
        bool::from(current | previous).then_some(Caller::Partner(salt))
    }

    /// The same work as [`by_salt`](Self::by_salt), without an outcome.
    fn repeat_salt_work(&self, request: &MethodRequest) {
        if self.shared_salt {
            _ = black_box(self.by_salt(request));
        }
    }

    /// The token of a partner: lower-case hex SHA-512 of `account + login + salt`.
    #[must_use]
    pub fn partner_token(&self, account: &str, login: &str) -> String {
        self.token_by(&self.policy.salt, account, login)
    }

    fn token_by(&self, salt: &SecretString, account: &str, login: &str) -> String {
        digest(&[account, login, salt.expose_secret()])
    }

    /// The admin's token at `now`: lower-case hex SHA-512 of `YYYYMMDDHH + admin_salt`.
    #[must_use]
    pub fn admin_token(&self, now: DateTime<Utc>) -> String {
        let hour = self.policy.timezone.wall_clock(now).format("%Y%m%d%H").to_string();
        digest(&[&hour, self.policy.admin_salt.expose_secret()])
    }

    /// The token for a call of `account` and `login` at `now`: the admin's if `login` is the admin's, else a partner's.
    #[must_use]
    pub fn token(&self, account: &str, login: &str, now: DateTime<Utc>) -> String {
        if login == self.policy.admin_login {
            self.admin_token(now)
        } else {
            self.partner_token(account, login)
        }
    }

    /// The admin's login.
    #[must_use]
    pub fn admin_login(&self) -> &str {
        &self.policy.admin_login
    }

    /// The date at `now` in the policy's time zone; birthdays are checked against it.
    #[must_use]
    pub fn today(&self, now: DateTime<Utc>) -> NaiveDate {
        self.policy.timezone.wall_clock(now).date()
    }
}

/// A partner's token: lower-case hex SHA-512 of `account + login + salt`.
#[must_use]
pub fn token_of(account: &str, login: &str, salt: &str) -> String {
    digest(&[account, login, salt])
}

fn digest(parts: &[&str]) -> String {
    #[cfg(test)]
    work::add_sha512();
    let hasher = parts.iter().fold(Sha512::new(), |hasher, part| hasher.chain_update(part));
    lower_hex(&hasher.finalize())
}

/// In constant time for tokens of the right length; that length is not a secret.
fn same(expected: &str, given: &str) -> Choice {
    expected.as_bytes().ct_eq(given.as_bytes())
}

/// Counts the digests of this thread, for tests: refusals must compute equally many.
#[cfg(test)]
pub(super) mod work {
    use std::cell::Cell;

    thread_local!(static DIGESTS: Cell<(u32, u32)> = const { Cell::new((0, 0)) });

    pub(crate) fn add_sha256() {
        DIGESTS.set((DIGESTS.get().0 + 1, DIGESTS.get().1));
    }

    pub(super) fn add_sha512() {
        DIGESTS.set((DIGESTS.get().0, DIGESTS.get().1 + 1));
    }

    /// The numbers of SHA-256 and SHA-512 since the last call.
    pub(crate) fn take() -> (u32, u32) {
        DIGESTS.take()
    }
}

#[cfg(test)]
mod tests;
