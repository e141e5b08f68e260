//! HTTP clients of the tests' own.

use std::time::Duration;

use tokio_rustls::rustls::crypto::ring;

/// A client that goes nowhere but where it is sent, and gives up after half a minute.
pub fn http_client() -> reqwest::Client {
    // reqwest wants to know whose ciphers to use before it makes any client, also one that never speaks TLS.
    _ = ring::default_provider().install_default();
    reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(30)).build().unwrap()
}
