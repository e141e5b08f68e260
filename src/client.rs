//! The other side of the protocol: the crate [`scoring_client`], and the service's own salts as its credentials.

pub use scoring_client::*;

use crate::{domain::Authenticator, wall_clock};

/// Signs for every partner that is not registered, and for the admin.
impl From<Authenticator> for Credentials {
    fn from(authenticator: Authenticator) -> Self {
        Self::signer(move |caller| {
            authenticator.token(&caller.account, &caller.login, wall_clock::now()).into()
        })
    }
}
