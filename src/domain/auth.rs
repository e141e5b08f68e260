//! Authentication: tokens, and how they are checked.
//!
//! A token is a digest of public parts and a salt. The salt alone protects a partner from everyone else. So it stays in
//! `secrecy`, and the time of a comparison reveals nothing.

use std::time::Duration;

use base16ct::lower::encode_string as lower_hex;
use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha512};
use subtle::{Choice, ConstantTimeEq};

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

/// An authenticated caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Caller {
    /// The service's own administrator.
    Admin,
    /// A partner, with the account and login that the request names.
    Partner(Salt),
}

/// The salt of a partner's token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Salt {
    /// The one that tokens are made with now.
    Current,
    /// The one before a rotation.
    Previous,
}

// ===== impl Caller =====

impl Caller {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Admin, Self::Partner(Salt::Current), Self::Partner(Salt::Previous)];

    /// The kind of the token, in the log and in metrics.
    #[must_use]
    pub const fn token(self) -> &'static str {
        match self {
            Self::Admin => "admin",
            Self::Partner(Salt::Current) => "salt",
            Self::Partner(Salt::Previous) => "previous",
        }
    }
}

/// Creates and checks tokens by one [`AuthPolicy`].
#[derive(Clone, Debug)]
pub struct Authenticator {
    policy: AuthPolicy,
    grace: TimeDelta,
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
        Ok(Self { policy, grace })
    }

    /// Returns the caller of `request` at `now`.
    ///
    /// The comparison takes the same time wherever the tokens differ, and all candidates are always tried.
    ///
    /// # Errors
    ///
    /// [`Forbidden`], if the token does not match a valid one.
    pub fn check(&self, request: &MethodRequest, now: DateTime<Utc>) -> Result<Caller, Forbidden> {
        let token = request.token.expose();
        let (caller, matches) = if request.login == self.policy.admin_login {
            // Within the grace, `now - grace` is still in the last hour; after it, both candidates are the same.
            let earlier = now.checked_sub_signed(self.grace).unwrap_or(now);
            let current = same(&self.admin_token(now), token);
            let previous = same(&self.admin_token(earlier), token);
            (Caller::Admin, current | previous)
        } else {
            let by = |salt| same(&self.token_by(salt, &request.account, &request.login), token);
            let current = by(&self.policy.salt);
            let previous = self.policy.previous_salt.as_ref().map_or(Choice::from(0), by);
            let salt = if previous.into() { Salt::Previous } else { Salt::Current };
            (Caller::Partner(salt), current | previous)
        };
        if matches.into() { Ok(caller) } else { Err(Forbidden) }
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

fn digest(parts: &[&str]) -> String {
    let hasher = parts.iter().fold(Sha512::new(), |hasher, part| hasher.chain_update(part));
    lower_hex(&hasher.finalize())
}

/// In constant time for tokens of the right length; that length is not a secret.
fn same(expected: &str, given: &str) -> Choice {
    expected.as_bytes().ct_eq(given.as_bytes())
}

#[cfg(test)]
mod tests;
