//! The credentials of a client: the service's salts, or the token of one partner.

use chrono::{DateTime, Utc};
use secrecy::SecretString;

use super::{call::Identity, error::ClientError};
use crate::domain::Authenticator;

/// Signs calls. `Debug` shows no secret.
///
/// ```
/// # use scoring_api::client::Credentials;
/// let partner = Credentials::token("acme", "shop", "9c1f…");
/// assert!(!format!("{partner:?}").contains("9c1f"));
/// ```
#[derive(Debug, Clone)]
pub struct Credentials(Kind);

#[derive(Debug, Clone)]
enum Kind {
    Salts(Box<Authenticator>),
    Token { identity: Identity, token: SecretString },
}

// ===== impl Credentials =====

impl Credentials {
    /// The service's own salts, which sign for every partner that is not registered, and for the admin.
    pub fn salts(authenticator: Authenticator) -> Self {
        Self(Kind::Salts(Box::new(authenticator)))
    }

    /// A token that the partner was given, as `scoring-api partners new` or `scoring-api token` prints it: 128 hex digits.
    /// It signs for this account and login only.
    pub fn token(
        account: impl Into<String>,
        login: impl Into<String>,
        token: impl Into<SecretString>,
    ) -> Self {
        Self(Kind::Token { identity: Identity::new(account, login), token: token.into() })
    }

    /// The token's account and login; `None` with salts, which sign for any.
    pub fn identity(&self) -> Option<&Identity> {
        match &self.0 {
            Kind::Salts(_) => None,
            Kind::Token { identity, .. } => Some(identity),
        }
    }

    /// The admin's account and login; `None` with a token.
    pub fn admin(&self) -> Option<Identity> {
        match &self.0 {
            Kind::Salts(authenticator) => Some(Identity::new("", authenticator.admin_login())),
            Kind::Token { .. } => None,
        }
    }

    /// The token for a call of `caller` at `now`.
    ///
    /// A token is not sent in the name of another caller: the service would refuse it, and the caller's name would hide
    /// the reason.
    pub(super) fn sign(&self, caller: &Identity, now: DateTime<Utc>) -> Result<SecretString, ClientError> {
        match &self.0 {
            Kind::Salts(authenticator) => Ok(authenticator.token(&caller.account, &caller.login, now).into()),
            Kind::Token { identity, token } if identity == caller => Ok(token.clone()),
            Kind::Token { .. } => Err(ClientError::OtherCaller),
        }
    }
}

impl From<Authenticator> for Credentials {
    fn from(authenticator: Authenticator) -> Self {
        Self::salts(authenticator)
    }
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret;

    use super::*;

    #[test]
    fn a_token_signs_for_its_own_caller_only() {
        let credentials = Credentials::token("acme", "shop", "hunter2");
        let signed = |account, login| credentials.sign(&Identity::new(account, login), DateTime::UNIX_EPOCH);
        assert_eq!(signed("acme", "shop").unwrap().expose_secret(), "hunter2");
        for (account, login) in [("acm", "eshop"), ("acme", ""), ("", "shop"), ("", "admin")] {
            let error = signed(account, login).unwrap_err();
            assert!(matches!(error, ClientError::OtherCaller), "{account} {login}");
            assert!(!format!("{error} {error:?} {credentials:?}").contains("hunter2"));
        }
        assert_eq!(credentials.admin(), None);
    }
}
