//! Settings of authentication.

use std::path::PathBuf;
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Deserializer};

use super::partners::PartnersFile;
use crate::domain::{AuthPolicy, Authenticator, InvalidAuthPolicy, PUBLIC_SALTS, TimeZoneChoice};
use crate::units::{self, HOUR, parsed, quoted};

/// `[auth]`: authentication.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AuthSettings {
    /// The salt of partners' tokens, not empty; `Otus` by default.
    #[serde(deserialize_with = "units::secret")]
    pub salt: SecretString,
    /// The file that `salt` was read from, if any.
    #[serde(deserialize_with = "units::path")]
    pub salt_file: Option<PathBuf>,
    /// The salt before a rotation, which stays valid; `None` by default.
    #[serde(deserialize_with = "units::secret_or_none")]
    pub previous_salt: Option<SecretString>,
    /// The file that `previous_salt` was read from, if any.
    #[serde(deserialize_with = "units::path")]
    pub previous_salt_file: Option<PathBuf>,
    /// The salt of the admin's tokens, not empty; `42` by default.
    #[serde(deserialize_with = "units::secret")]
    pub admin_salt: SecretString,
    /// The file that `admin_salt` was read from, if any.
    #[serde(deserialize_with = "units::path")]
    pub admin_salt_file: Option<PathBuf>,
    /// The login that counts as admin, not empty; `admin` by default.
    #[serde(deserialize_with = "units::not_empty")]
    pub admin_login: String,
    /// Time zone of the admin token's hour: `local` (the default), `UTC` or an IANA name.
    #[serde(deserialize_with = "timezone")]
    pub timezone: TimeZoneChoice,
    /// How long the last hour's admin token stays valid, up to 1 h; 0 by default.
    #[serde(deserialize_with = "units::duration::<_, 0, HOUR>")]
    pub admin_grace: Duration,
    /// Whether a public salt may be used on an address that other hosts can reach; false by default.
    pub allow_public_salts: bool,
    /// The file of the registered partners; `None` by default.
    #[serde(deserialize_with = "units::path")]
    pub partners_file: Option<PathBuf>,
    /// Whether callers that are not registered may call by a salt; true by default.
    pub shared_salt: bool,
    /// The contents of `partners_file`, read while loading.
    #[serde(skip)]
    pub partners: PartnersFile,
}

// ===== impl AuthSettings =====

impl AuthSettings {
    /// The domain's policy for tokens.
    pub fn policy(&self) -> AuthPolicy {
        AuthPolicy {
            salt: self.salt.clone(),
            previous_salt: self.previous_salt.clone(),
            admin_salt: self.admin_salt.clone(),
            admin_login: self.admin_login.clone(),
            timezone: self.timezone,
            admin_grace: self.admin_grace,
        }
    }

    /// Checks tokens by these settings and the partners' file.
    ///
    /// # Errors
    ///
    /// If the policy is invalid.
    pub fn authenticator(&self) -> Result<Authenticator, InvalidAuthPolicy> {
        let authenticator = Authenticator::new(self.policy())?;
        Ok(authenticator.with_partners(self.partners.partners.clone(), self.shared_salt))
    }

    /// Whether one of the salts in use is public. Partners' salts are not in use if they are not shared.
    pub fn has_public_salt(&self) -> bool {
        let shared = [&self.salt].into_iter().chain(&self.previous_salt).filter(|_| self.shared_salt);
        shared.chain([&self.admin_salt]).any(|salt| PUBLIC_SALTS.contains(&salt.expose_secret()))
    }

    /// Whether the previous salt is another one than the current one.
    pub fn has_two_salts(&self) -> bool {
        let salt = self.salt.expose_secret();
        self.previous_salt.as_ref().is_none_or(|previous| previous.expose_secret() != salt)
    }
}

fn timezone<'de, D: Deserializer<'de>>(input: D) -> Result<TimeZoneChoice, D::Error> {
    parsed(input, |text| {
        text.parse().map_err(|_| {
            format!(
                "expected \"local\", \"UTC\" or a time zone such as \"Europe/Berlin\", got {}",
                quoted(text)
            )
        })
    })
}
