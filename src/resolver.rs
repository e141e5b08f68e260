//! Looks host names up, one look-up at a time for each name.
//!
//! `getaddrinfo` blocks its thread for 10 s when a name server does not answer, and cannot be stopped. Callers may
//! give up at any time; the next ones wait for the same look-up.

use std::{
    fmt, io,
    net::{IpAddr, SocketAddr, ToSocketAddrs},
    sync::Arc,
};

use futures_util::{FutureExt, future::BoxFuture};
use reqwest::dns::{Addrs, Name, Resolve, Resolving};

use crate::single_flight::{NoResult, SingleFlight};

type LookUp = dyn Fn(&str) -> BoxFuture<'static, Result<Arc<[SocketAddr]>, Unresolved>> + Send + Sync;

/// Looks host names up. Clones share their look-ups.
#[derive(Clone)]
pub struct Resolver(Arc<LookUp>);

/// The reason why a name has no address, with the system's text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Unresolved(String);

// ===== impl Resolver =====

impl Resolver {
    /// The system's resolver, which reads its configuration afresh when that changes.
    pub fn system() -> Self {
        Self::new(|host| Ok((host, 0).to_socket_addrs()?.collect()))
    }

    /// A resolver that asks `look_up`, which may block: one look-up at a time for each name. Ports in its answers are
    /// ignored.
    pub fn new(look_up: impl Fn(&str) -> io::Result<Vec<SocketAddr>> + Send + Sync + 'static) -> Self {
        let (look_up, names) = (Arc::new(look_up), SingleFlight::new("resolver"));
        Self::of_async(move |host| {
            let (look_up, names, host) = (look_up.clone(), names.clone(), host.to_owned());
            async move {
                let name = host.clone();
                names.result(&host, move || at_least_one(look_up(&name))).await
            }
        })
    }

    /// A resolver that asks `look_up`, which does not block.
    pub fn of_async<F>(look_up: impl Fn(&str) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Result<Arc<[SocketAddr]>, Unresolved>> + Send + 'static,
    {
        Self(Arc::new(move |host| look_up(host).boxed()))
    }

    /// The addresses of `host`, at least one, in the order in which they should be tried; each with port 0.
    ///
    /// An IP address is its own address. Without a time limit: callers have their own, and may be dropped at any
    /// time.
    ///
    /// # Errors
    ///
    /// [`Unresolved`], if the name has no address, or the look-up fails.
    pub async fn addresses(&self, host: &str) -> Result<Arc<[SocketAddr]>, Unresolved> {
        if let Ok(address) = host.parse::<IpAddr>() {
            return Ok(Arc::from([SocketAddr::new(address, 0)]));
        }
        (self.0)(host).await
    }
}

fn at_least_one(found: io::Result<Vec<SocketAddr>>) -> Result<Arc<[SocketAddr]>, Unresolved> {
    match found {
        Ok(addresses) if addresses.is_empty() => Err(Unresolved("it has no address".to_owned())),
        Ok(addresses) => Ok(addresses.into()),
        Err(error) => Err(Unresolved::from(&error)),
    }
}

impl fmt::Debug for Resolver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Resolver")
    }
}

/// For HTTP clients, which add the port themselves.
impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        let resolver = self.clone();
        Box::pin(async move {
            let addresses: Addrs = Box::new(resolver.addresses(name.as_str()).await?.to_vec().into_iter());
            Ok(addresses)
        })
    }
}

// ===== impl Unresolved =====

impl From<&io::Error> for Unresolved {
    /// The standard library puts the same words before each of the system's texts.
    fn from(error: &io::Error) -> Self {
        let text = error.to_string();
        let cause = text.strip_prefix("failed to lookup address information: ").unwrap_or(&text);
        Self(cause.to_owned())
    }
}

impl From<NoResult> for Unresolved {
    fn from(lost: NoResult) -> Self {
        Self(lost.to_string())
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::ipv4("127.0.0.1", "127.0.0.1:0")]
    #[case::ipv6("::1", "[::1]:0")]
    #[tokio::test]
    async fn an_ip_address_is_not_looked_up(#[case] host: &str, #[case] expected: &str) {
        let resolver = Resolver::new(|_| panic!("nothing to look up"));
        let addresses = resolver.addresses(host).await.unwrap();
        assert_eq!(*addresses, [expected.parse().unwrap()]);
    }

    #[tokio::test]
    async fn addresses_keep_their_order() {
        let given: [SocketAddr; 2] = ["127.0.0.2:0".parse().unwrap(), "127.0.0.1:0".parse().unwrap()];
        let resolver = Resolver::new(move |_| Ok(given.to_vec()));
        assert_eq!(*resolver.addresses("redis").await.unwrap(), given);
    }

    #[rstest]
    #[case::no_address(|_: &str| Ok(vec![]), "it has no address")]
    #[case::prefixed(
        |_: &str| Err(io::Error::other("failed to lookup address information: Name or service not known")),
        "Name or service not known"
    )]
    #[case::other(|_: &str| Err(io::Error::other("out of files")), "out of files")]
    #[case::panic(|_: &str| panic!("as the test says"), "an internal error")]
    #[tokio::test]
    async fn a_name_without_an_address_says_why(
        #[case] look_up: fn(&str) -> io::Result<Vec<SocketAddr>>,
        #[case] cause: &str,
    ) {
        let error = Resolver::new(look_up).addresses("redis").await.unwrap_err();
        assert_eq!(error.to_string(), cause);
    }

    #[tokio::test]
    async fn the_system_knows_localhost() {
        let addresses = Resolver::system().addresses("localhost").await.unwrap();
        assert!(addresses.iter().all(|address| address.ip().is_loopback()));
    }
}
