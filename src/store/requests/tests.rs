mod at_fault;
mod cache;
mod persistent;

use std::io::ErrorKind::NotConnected;

use futures_util::{FutureExt, future::join_all};
use prometheus::{Registry, TextEncoder};
use proptest::prelude::*;
use rstest::rstest;
use tokio::{select, time::sleep};

use super::*;
use crate::{
    store::{
        LinkPolicy, Monitor, Role, RoleStatus, StoreMetrics,
        testing::{Act, Script, every_error, monitor},
    },
    testing::{paused, settle},
};

const SECOND: Duration = Duration::from_secs(1);
const TIMEOUT: Duration = Duration::from_millis(150);
const MILLI: Duration = Duration::from_millis(1);

fn start(script: &Script, role: Role) -> Link {
    Link::start(script.connector(), LinkPolicy::new(TIMEOUT), monitor(role)).0
}

async fn cache(script: &Script) -> (Link, CacheRequests) {
    let link = start(script, Role::Cache);
    let requests = CacheRequests::new(&link, None);
    settle().await;
    (link, requests)
}

async fn persistent(script: &Script) -> (Link, PersistentRequests) {
    let link = start(script, Role::Persistent);
    let requests = PersistentRequests::new(std::slice::from_ref(&link), 3);
    settle().await;
    (link, requests)
}

/// Two links, over connections 1 and 2.
async fn two_links(script: &Script) -> (Vec<Link>, PersistentRequests) {
    let links = vec![start(script, Role::Persistent), start(script, Role::Persistent)];
    let requests = PersistentRequests::new(&links, 3);
    settle().await;
    (links, requests)
}

fn keys(names: &[&str]) -> Arc<[String]> {
    names.iter().map(|&name| name.to_owned()).collect()
}

async fn get(requests: &CacheRequests, budget: Duration) -> Result<Option<Vec<u8>>, BackendError> {
    requests.get("uid:1".to_owned(), Instant::now() + budget).await
}

async fn read(requests: &PersistentRequests, budget: Duration) -> Result<Vec<Option<Vec<u8>>>, StoreError> {
    requests.get_many(keys(&["i:1"]), Instant::now() + budget).await
}

async fn until_open(link: &Link) {
    let begun = Instant::now();
    while !link.shared().is_open() {
        assert!(begun.elapsed() < 5 * SECOND, "the breaker did not open");
        settle().await;
    }
}
