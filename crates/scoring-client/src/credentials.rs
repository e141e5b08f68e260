//! The credentials of a client: the token of one partner, or the means to make tokens.

use std::{fmt, sync::Arc};

use base16ct::lower::encode_string as lower_hex;
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha512};

use crate::{call::Identity, error::ClientError};

/// Signs calls. `Debug` shows no secret.
///
/// ```
/// # use scoring_client::Credentials;
/// let partner = Credentials::token("acme", "shop", "9c1f…");
/// assert!(!format!("{partner:?}").contains("9c1f"));
/// ```
#[derive(Clone)]
pub struct Credentials(Kind);

#[derive(Clone)]
enum Kind {
    Token { identity: Identity, token: SecretString },
    Salt(SecretString),
    Signer(Arc<dyn Fn(&Identity) -> SecretString + Send + Sync>),
}

// ===== impl Credentials =====

impl Credentials {
    /// A token that the partner was given, as `scoring-api partners new` or `scoring-api token` prints it: 128 hex digits.
    /// It signs for this account and login only.
    pub fn token(
        account: impl Into<String>,
        login: impl Into<String>,
        token: impl Into<SecretString>,
    ) -> Self {
        Self(Kind::Token { identity: Identity::new(account, login), token: token.into() })
    }

    /// The salt of a service, which signs for each of its partners that is not registered. A service for trials has the
    /// contract's public salt, `Otus`.
    pub fn salt(salt: impl Into<SecretString>) -> Self {
        Self(Kind::Salt(salt.into()))
    }

    /// Makes the token of each call by `sign`, for tokens that change with time. It is called for each try.
    pub fn signer(sign: impl Fn(&Identity) -> SecretString + Send + Sync + 'static) -> Self {
        Self(Kind::Signer(Arc::new(sign)))
    }

    /// The token's account and login; `None` for credentials that sign for any caller.
    pub fn identity(&self) -> Option<&Identity> {
        match &self.0 {
            Kind::Token { identity, .. } => Some(identity),
            Kind::Salt(_) | Kind::Signer(_) => None,
        }
    }

    /// The token for a call of `caller`.
    ///
    /// A token is not sent in the name of another caller: the service would refuse it, and the caller's name would hide
    /// the reason.
    pub(crate) fn sign(&self, caller: &Identity) -> Result<SecretString, ClientError> {
        match &self.0 {
            Kind::Token { identity, token } if identity == caller => Ok(token.clone()),
            Kind::Token { .. } => Err(ClientError::OtherCaller),
            Kind::Salt(salt) => Ok(token_of(caller, salt).into()),
            Kind::Signer(sign) => Ok(sign(caller)),
        }
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.0 {
            Kind::Token { .. } => "token",
            Kind::Salt(_) => "salt",
            Kind::Signer(_) => "signer",
        };
        write!(f, "Credentials({kind})")
    }
}

/// Lower-case hex SHA-512 of `account + login + salt`.
fn token_of(caller: &Identity, salt: &SecretString) -> String {
    let Identity { account, login } = caller;
    let parts = [account, login, salt.expose_secret()];
    lower_hex(&parts.iter().fold(Sha512::new(), |hasher, part| hasher.chain_update(part)).finalize())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_signs_for_its_own_caller_only() {
        let credentials = Credentials::token("acme", "shop", "hunter2");
        let signed = |account, login| credentials.sign(&Identity::new(account, login));
        assert_eq!(signed("acme", "shop").unwrap().expose_secret(), "hunter2");
        for (account, login) in [("acm", "eshop"), ("acme", ""), ("", "shop"), ("", "admin")] {
            let error = signed(account, login).unwrap_err();
            assert!(matches!(error, ClientError::OtherCaller), "{account} {login}");
            assert!(!format!("{error} {error:?} {credentials:?}").contains("hunter2"));
        }
    }

    #[test]
    fn a_signer_signs_for_each_caller() {
        let credentials = Credentials::signer(|caller| format!("{} secret", caller.login).into());
        for login in ["shop", "admin"] {
            let token = credentials.sign(&Identity::new("", login)).unwrap();
            assert_eq!(token.expose_secret(), format!("{login} secret"));
        }
        assert_eq!(credentials.identity(), None);
        assert!(!format!("{credentials:?} {:?}", Credentials::salt("the secret")).contains("secret"));
    }
}
