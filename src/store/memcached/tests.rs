use std::collections::BTreeMap;

use proptest::prelude::*;
use rstest::rstest;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

use super::*;
use crate::store::{Remedy, SLOTS, slot_of};

fn places(count: usize) -> Vec<HostAndPort> {
    (0..count).map(|number| HostAndPort { host: format!("cache-{number}"), port: 11211 }).collect()
}

#[rstest]
#[case::ours("uid:0123456789abcdef0123456789abcdef", true)]
#[case::empty("", false)]
#[case::blank("uid:a b", false)]
#[case::a_second_command("uid:a\r\nflush_all", false)]
#[case::control_character("uid:\u{7f}", false)]
fn a_key_is_one_word(#[case] key: &str, #[case] valid: bool) {
    assert_eq!(is_valid(key), valid);
}

#[test]
fn the_longest_key_has_250_bytes() {
    assert!(is_valid(&"k".repeat(250)) && !is_valid(&"k".repeat(251)));
}

#[test]
fn every_server_has_about_the_same_share() {
    let map = rendezvous(&places(4));
    let mut shares = BTreeMap::<_, usize>::new();
    for number in 0..10_000 {
        *shares.entry(map.owner(slot_of(&format!("uid:{number:032x}"))).unwrap()).or_default() += 1;
    }
    assert_eq!(shares.len(), 4);
    assert!(shares.values().all(|share| (2_200..2_800).contains(share)), "{shares:?}");
}

#[test]
fn only_the_share_of_a_removed_server_changes_hands() {
    let before = rendezvous(&places(4));
    let after = rendezvous(&places(3));
    let (mut moved, lost) = (0, &places(4)[3]);
    for slot in 0..SLOTS {
        let (one, other) = (before.owner(slot), after.owner(slot));
        if one != other {
            assert_eq!(one, Some(lost), "a slot of a server that stays");
            moved += 1;
        }
    }
    assert!((3_600..4_600).contains(&moved), "{moved} of {SLOTS} slots");
}

/// A change of the hash would empty every cache, and instances of two versions would disagree.
#[test]
fn the_hash_is_the_same_for_ever() {
    let map = rendezvous(&places(3));
    let owners: Vec<_> = (0..6).map(|slot| map.owner(slot * 1_000).unwrap().host.as_str()).collect();
    assert_eq!(owners, OWNERS);
}

const OWNERS: [&str; 6] = ["cache-1", "cache-1", "cache-1", "cache-2", "cache-0", "cache-2"];

proptest! {
    #[test]
    fn the_order_of_the_servers_does_not_matter(count in 1usize..6, seed in any::<u64>()) {
        let mut shuffled = places(count);
        fastrand::Rng::with_seed(seed).shuffle(&mut shuffled);
        prop_assert_eq!(rendezvous(&shuffled), rendezvous(&places(count)));
    }
}

/// A server that answers each connection's first bytes with `answer`.
async fn connected_to(answer: &'static [u8]) -> Result<(), BackendError> {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let place = HostAndPort { host: "127.0.0.1".to_owned(), port: listener.local_addr().unwrap().port() };
    let serving = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let read = stream.read(&mut [0; 512]).await.unwrap();
        stream.write_all(answer).await.unwrap();
        // Held open, unless the client has closed it.
        let _ = stream.read(&mut [0; 512]).await;
        read
    });
    let connector = MemcachedConnector::new(&[place], Duration::from_secs(10), Resolver::system());
    let made = connector.connect().await.map(|connection| connection.close());
    assert!(serving.await.unwrap() > 0);
    made
}

#[rstest]
#[case::before_1_6(
    b"ERROR\r\n",
    "the first write: the server answered with an error (ERROR)",
    Remedy::Configuration
)]
#[case::before_1_6_10(
    b"CLIENT_ERROR bad command line format\r\n",
    "the first write: the server answered with an error (CLIENT_ERROR)",
    Remedy::Configuration
)]
#[case::full(
    b"ERROR Too many open connections\r\n",
    "before the log-in: the server answered with an error (Too many open connections)",
    Remedy::Reconnect
)]
#[case::another_protocol(b"-ERR unknown command\r\n", "the first write: protocol error", Remedy::Reconnect)]
#[case::another_answer(b"HD O1\r\n", "the first write: protocol error", Remedy::Reconnect)]
#[tokio::test]
async fn row_46_a_connection_that_cannot_be_written_is_not_used(
    #[case] answer: &'static [u8],
    #[case] cause: &str,
    #[case] remedy: Remedy,
) {
    let error = connected_to(answer).await.unwrap_err();
    assert!(error.to_string().ends_with(cause), "{error}");
    assert_eq!(error.remedy(), remedy);
}

#[tokio::test]
async fn row_16_a_server_without_memory_is_used_for_reads() {
    assert!(connected_to(b"SERVER_ERROR out of memory storing object\r\n").await.is_ok());
}
