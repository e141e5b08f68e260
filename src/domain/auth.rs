//! Who calls: tokens, and how they are checked.
//!
//! A token is a digest of public parts and a salt. The salt is all that stands between a partner and everyone else,
//! so it stays in `secrecy`, and a comparison tells nothing by its time.

use std::time::Duration;

use base16ct::lower::encode_string as lower_hex;
use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha512};
use subtle::{Choice, ConstantTimeEq};

use super::requests::MethodRequest;
use super::timezone::TimeZoneChoice;

/// The longest that an admin's token may outlive its hour. Any longer, and a third token would hold.
pub const MAX_ADMIN_GRACE: Duration = Duration::from_secs(3600);

/// How calls are authenticated: the `auth` settings, as far as tokens depend on them.
#[derive(Clone, Debug)]
pub struct AuthPolicy {
    /// Ends what a partner's token is the digest of.
    pub salt: SecretString,
    /// Ends what the admin's token is the digest of.
    pub admin_salt: SecretString,
    /// The login that is the admin's, written exactly so.
    pub admin_login: String,
    /// Where the admin's hour and everyone's today are taken from.
    pub timezone: TimeZoneChoice,
    /// For how long after the hour turns the last hour's admin token still holds; at most [`MAX_ADMIN_GRACE`].
    pub admin_grace: Duration,
}

/// Why an [`AuthPolicy`] makes no sense.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidAuthPolicy {
    /// The grace is longer than [`MAX_ADMIN_GRACE`].
    #[error("admin_grace is {0:?}, but must be at most 1h")]
    GraceTooLong(Duration),
}

/// The token does not match. Nothing says whether the account, the login or the token was wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the token does not match")]
pub struct Forbidden;

/// Who has proved to be calling.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Caller {
    /// The service's own administrator.
    Admin,
    /// A partner, with the account and login that the request names.
    Partner,
}

/// Makes and checks tokens by one [`AuthPolicy`].
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
    /// [`InvalidAuthPolicy`], if the policy makes no sense.
    pub fn new(policy: AuthPolicy) -> Result<Self, InvalidAuthPolicy> {
        let grace = policy.admin_grace;
        let too_long = InvalidAuthPolicy::GraceTooLong(grace);
        if grace > MAX_ADMIN_GRACE {
            return Err(too_long);
        }
        let grace = TimeDelta::from_std(grace).map_err(|_| too_long)?;
        Ok(Self { policy, grace })
    }

    /// Tells who makes `request` at `now`.
    ///
    /// The comparison takes the same time wherever the tokens differ, and all candidates are always tried.
    ///
    /// # Errors
    ///
    /// [`Forbidden`], if the token matches none that holds.
    pub fn check(&self, request: &MethodRequest, now: DateTime<Utc>) -> Result<Caller, Forbidden> {
        let token = request.token.expose();
        let (caller, matches) = if request.login == self.policy.admin_login {
            // Within the grace, `now - grace` is still in the last hour; after it, both candidates are the same.
            let earlier = now.checked_sub_signed(self.grace).unwrap_or(now);
            let current = same(&self.admin_token(now), token);
            let previous = same(&self.admin_token(earlier), token);
            (Caller::Admin, current | previous)
        } else {
            (Caller::Partner, same(&self.partner_token(&request.account, &request.login), token))
        };
        if matches.into() { Ok(caller) } else { Err(Forbidden) }
    }

    /// The token of a partner: lower-case hex SHA-512 of `account + login + salt`.
    #[must_use]
    pub fn partner_token(&self, account: &str, login: &str) -> String {
        digest(&[account, login, self.policy.salt.expose_secret()])
    }

    /// The admin's token at `now`: lower-case hex SHA-512 of `YYYYMMDDHH + admin_salt`.
    #[must_use]
    pub fn admin_token(&self, now: DateTime<Utc>) -> String {
        let hour = self.policy.timezone.wall_clock(now).format("%Y%m%d%H").to_string();
        digest(&[&hour, self.policy.admin_salt.expose_secret()])
    }

    /// The token that `account` and `login` call with at `now`: the admin's if that is whose login it is, else a partner's.
    #[must_use]
    pub fn token(&self, account: &str, login: &str, now: DateTime<Utc>) -> String {
        if login == self.policy.admin_login {
            self.admin_token(now)
        } else {
            self.partner_token(account, login)
        }
    }

    /// The login that is the admin's.
    #[must_use]
    pub fn admin_login(&self) -> &str {
        &self.policy.admin_login
    }

    /// The date at `now` in the policy's time zone, by which birthdays are judged.
    #[must_use]
    pub fn today(&self, now: DateTime<Utc>) -> NaiveDate {
        self.policy.timezone.wall_clock(now).date()
    }
}

fn digest(parts: &[&str]) -> String {
    let hasher = parts.iter().fold(Sha512::new(), |hasher, part| hasher.chain_update(part));
    lower_hex(&hasher.finalize())
}

/// In constant time for tokens of the right length; that length is no secret.
fn same(expected: &str, given: &str) -> Choice {
    expected.as_bytes().ct_eq(given.as_bytes())
}

#[cfg(test)]
mod tests;
