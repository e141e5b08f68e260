//! Looks the service's name up, one look-up at a time.
//!
//! `getaddrinfo` blocks its thread for 10 s when a name server does not answer, and cannot be stopped. Tries give up
//! earlier, so they share one look-up: otherwise each leaves a blocked thread behind. The thread is not tokio's,
//! because a runtime waits for its blocking tasks when it is dropped.

use std::{
    fmt, io,
    net::{SocketAddr, ToSocketAddrs},
    sync::{Arc, Mutex, PoisonError},
    thread,
    time::Duration,
};

use futures_util::{
    FutureExt,
    future::{BoxFuture, Shared},
};
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use tokio::{sync::oneshot, time::Instant};

/// A look-up that takes longer is not waited for by further tries: they start another one.
const LONGEST: Duration = Duration::from_secs(60);

/// Time that addresses are kept. A look-up that is slower than a try could never be used otherwise.
const KEPT: Duration = Duration::from_secs(1);

type AddressesOf = dyn Fn(&str) -> io::Result<Vec<SocketAddr>> + Send + Sync;

/// Looks up one name, that of the client's service.
pub(crate) struct LookUp {
    addresses_of: Arc<AddressesOf>,
    last: Mutex<Option<Flight>>,
}

struct Flight {
    began: Instant,
    found: Shared<BoxFuture<'static, Found>>,
}

#[derive(Clone)]
struct Found {
    addresses: Result<Arc<[SocketAddr]>, Unresolved>,
    at: Instant,
}

/// The reason why a name has no address, with the system's text.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{0}")]
struct Unresolved(String);

// ===== impl LookUp =====

impl LookUp {
    /// The system's resolver, which reads its configuration afresh when that changes.
    pub(crate) fn system() -> Self {
        Self::new(|host| Ok((host, 0).to_socket_addrs()?.collect()))
    }

    /// A resolver that asks `addresses_of`, which may block. Ports in its answers are ignored.
    pub(crate) fn new(
        addresses_of: impl Fn(&str) -> io::Result<Vec<SocketAddr>> + Send + Sync + 'static,
    ) -> Self {
        Self { addresses_of: Arc::new(addresses_of), last: Mutex::default() }
    }

    /// The result of the look-up that is under way, of one just now, or of a new one.
    fn found(&self, host: &str) -> Shared<BoxFuture<'static, Found>> {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        match &*last {
            Some(flight) if flight.can_be_joined() => flight.found.clone(),
            Some(_) | None => {
                let found = self.start(host.to_owned()).shared();
                *last = Some(Flight { began: Instant::now(), found: found.clone() });
                found
            }
        }
    }

    fn start(&self, host: String) -> BoxFuture<'static, Found> {
        let (tell, told) = oneshot::channel();
        let addresses_of = self.addresses_of.clone();
        let started = thread::Builder::new().name("resolver".to_owned()).spawn(move || {
            // Fails if all tries have left for good.
            _ = tell.send(Found::of(addresses_of(&host)));
        });
        match started {
            Ok(_) => told.map(|found| found.unwrap_or_else(|_| Found::lost("an internal error"))).boxed(),
            Err(error) => {
                let lost = Found::lost(&format!("no thread for it: {error}"));
                async move { lost }.boxed()
            }
        }
    }
}

impl Resolve for LookUp {
    fn resolve(&self, name: Name) -> Resolving {
        let found = self.found(name.as_str());
        Box::pin(async move {
            let addresses: Addrs = Box::new(found.await.addresses?.to_vec().into_iter());
            Ok(addresses)
        })
    }
}

impl fmt::Debug for LookUp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LookUp")
    }
}

// ===== impl Flight =====

impl Flight {
    /// A result that no try has taken yet came too late for those that asked for it, and serves the next ones.
    fn can_be_joined(&self) -> bool {
        match self.found.peek() {
            None => self.began.elapsed() < LONGEST,
            Some(Found { addresses: Ok(_), at }) => at.elapsed() < KEPT,
            Some(Found { addresses: Err(_), .. }) => false,
        }
    }
}

// ===== impl Found =====

impl Found {
    fn of(addresses: io::Result<Vec<SocketAddr>>) -> Self {
        match addresses {
            Ok(addresses) if addresses.is_empty() => Self::lost("it has no address"),
            Ok(addresses) => Self { addresses: Ok(addresses.into()), at: Instant::now() },
            Err(error) => {
                // The standard library puts the same words before each of the system's texts.
                let text = error.to_string();
                Self::lost(text.strip_prefix("failed to lookup address information: ").unwrap_or(&text))
            }
        }
    }

    fn lost(why: &str) -> Self {
        Self { addresses: Err(Unresolved(why.to_owned())), at: Instant::now() }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{
        atomic::{AtomicUsize, Ordering::SeqCst},
        mpsc,
    };

    use rstest::rstest;
    use tokio::time::{advance, resume, timeout};

    use super::*;

    const BRIEFLY: Duration = Duration::from_millis(1);
    const GENEROUS: Duration = Duration::from_secs(20);

    /// A look-up that waits until it may answer, and the number of look-ups so far.
    fn gated(answer: fn() -> io::Result<Vec<SocketAddr>>) -> (LookUp, mpsc::Sender<()>, Arc<AtomicUsize>) {
        let ((open, gate), count) = (mpsc::channel(), Arc::<AtomicUsize>::default());
        let (gate, counted) = (Mutex::new(gate), count.clone());
        let look_up = LookUp::new(move |_| {
            counted.fetch_add(1, SeqCst);
            _ = gate.lock().unwrap().recv();
            answer()
        });
        (look_up, open, count)
    }

    fn one_address() -> io::Result<Vec<SocketAddr>> {
        Ok(vec!["127.0.0.1:0".parse().unwrap()])
    }

    async fn addresses(look_up: &LookUp) -> Result<Vec<SocketAddr>, String> {
        let found = look_up.found("scoring.example").await.addresses;
        found.map(|addresses| addresses.to_vec()).map_err(|error| error.to_string())
    }

    #[tokio::test]
    async fn row_52_tries_that_give_up_share_one_look_up() {
        let (look_up, open, count) = gated(one_address);
        for _ in 0..20 {
            assert!(timeout(BRIEFLY, addresses(&look_up)).await.is_err());
        }
        open.send(()).unwrap();
        assert_eq!(addresses(&look_up).await, Ok(one_address().unwrap()));
        assert_eq!(count.load(SeqCst), 1);
    }

    #[tokio::test]
    async fn addresses_serve_tries_that_come_just_after() {
        let (look_up, open, count) = gated(one_address);
        open.send(()).unwrap();
        for _ in 0..3 {
            timeout(GENEROUS, addresses(&look_up)).await.unwrap().unwrap();
        }
        assert_eq!(count.load(SeqCst), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_look_up_that_never_ends_does_not_hold_later_tries_for_ever() {
        let (tell, started) = mpsc::channel();
        let (_open, gate) = mpsc::channel::<()>();
        let (tell, gate) = (Mutex::new(tell), Mutex::new(gate));
        let look_up = LookUp::new(move |_| {
            tell.lock().unwrap().send(()).unwrap();
            _ = gate.try_lock().map(|gate| gate.recv());
            one_address()
        });
        assert!(addresses(&look_up).now_or_never().is_none());
        started.recv().unwrap();
        advance(LONGEST - BRIEFLY).await;
        assert!(addresses(&look_up).now_or_never().is_none());
        assert!(started.try_recv().is_err());
        advance(BRIEFLY).await;
        resume();
        let found = timeout(GENEROUS, addresses(&look_up)).await.unwrap();
        assert_eq!(found, Ok(one_address().unwrap()));
    }

    #[tokio::test]
    async fn a_failed_look_up_is_tried_again() {
        let (look_up, open, count) = gated(|| Err(io::Error::other("out of files")));
        for tries in 1..=3 {
            open.send(()).unwrap();
            assert_eq!(addresses(&look_up).await, Err("out of files".to_owned()));
            assert_eq!(count.load(SeqCst), tries);
        }
    }

    #[rstest]
    #[case::no_address(|_: &str| Ok(vec![]), "it has no address")]
    #[case::prefixed(
        |_: &str| Err(io::Error::other("failed to lookup address information: Name or service not known")),
        "Name or service not known"
    )]
    #[case::panic(|_: &str| panic!("as the test says"), "an internal error")]
    #[tokio::test]
    async fn a_name_without_an_address_says_why(
        #[case] look_up: fn(&str) -> io::Result<Vec<SocketAddr>>,
        #[case] cause: &str,
    ) {
        assert_eq!(addresses(&LookUp::new(look_up)).await, Err(cause.to_owned()));
    }

    #[test]
    fn row_52_a_runtime_ends_while_a_look_up_is_blocked() {
        let (look_up, _open, _) = gated(one_address);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let begun = Instant::now();
        runtime.block_on(async { assert!(timeout(BRIEFLY, addresses(&look_up)).await.is_err()) });
        drop(runtime);
        // The look-up itself would block for ever.
        assert!(begun.elapsed() < LONGEST);
    }
}
