use std::{
    io,
    net::SocketAddr,
    path::Path,
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
};

use futures_util::future::BoxFuture;
use proptest::prelude::*;
use redis::Value;
use rstest::rstest;
use tokio::time::sleep;

use super::*;
use crate::{
    resolver::Resolver,
    store::{Connector as _, Network, OpenFuture, url::StoreUrl},
    testing::paused,
};

const A: &str = "aaaaaaaa";
const B: &str = "bbbbbbbb";
const C: &str = "cccccccc";

fn place(host: &str, port: u16) -> HostAndPort {
    HostAndPort { host: host.to_owned(), port }
}

fn asked() -> HostAndPort {
    place("seed", 7000)
}

fn text(text: &str) -> Value {
    Value::BulkString(text.as_bytes().to_vec())
}

fn node(host: Value, port: i64, id: &str) -> Value {
    Value::Array(vec![host, Value::Int(port), text(id), Value::Array(Vec::new())])
}

fn range(first: i64, last: i64, nodes: Vec<Value>) -> Value {
    Value::Array([vec![Value::Int(first), Value::Int(last)], nodes].concat())
}

fn line(id: &str, flags: &str, epoch: u64) -> String {
    format!("{id} 10.0.0.9:6379@16379 {flags} - 0 0 {epoch} connected 0-1\n")
}

/// The answer of a node to which each of these primaries has the slots from the first to the last, since an epoch.
fn answer(primaries: &[(&str, u16, i64, i64, u64)]) -> Answer {
    let ranges = primaries
        .iter()
        .map(|(id, port, first, last, _)| range(*first, *last, vec![node(text("n"), i64::from(*port), id)]));
    let nodes: String = primaries.iter().map(|(id, .., epoch)| line(id, "master", *epoch)).collect();
    Answer::parse(&Value::Array(ranges.collect()), &text(&nodes), &asked()).unwrap()
}

#[rstest]
#[case::address(text("10.0.0.1"), place("10.0.0.1", 7001))]
#[case::name(text("n1.redis.internal"), place("n1.redis.internal", 7001))]
#[case::ipv6(text("fd00::1"), place("fd00::1", 7001))]
#[case::nil(Value::Nil, place("seed", 7001))]
#[case::empty(text(""), place("seed", 7001))]
#[case::unknown(text("?"), place("seed", 7001))]
fn row_26h_a_node_without_a_host_has_that_of_the_node_that_was_asked(
    #[case] host: Value,
    #[case] expected: HostAndPort,
) {
    let slots = Value::Array(vec![range(0, 100, vec![node(host, 7001, A), node(text("r"), 7002, B)])]);
    let nodes = text(&(line(A, "myself,master", 3) + &line(B, "slave", 3)));
    let answer = Answer::parse(&slots, &nodes, &asked()).unwrap();
    assert_eq!(answer.claims, [answer::Claim { slots: 0..=100, primary: expected.clone(), epoch: 3 }]);
    let places: BTreeSet<_> = answer.places().collect();
    assert_eq!(places, BTreeSet::from([expected, place("r", 7002)]));
}

#[rstest]
#[case::no_list(text("OK"), text(&line(A, "master", 1)))]
#[case::no_range(Value::Array(vec![text("OK")]), text(&line(A, "master", 1)))]
#[case::no_primary(Value::Array(vec![range(0, 1, vec![])]), text(&line(A, "master", 1)))]
#[case::no_port(Value::Array(vec![range(0, 1, vec![node(text("n"), 0, A)])]), text(&line(A, "master", 1)))]
#[case::port_too_large(Value::Array(vec![range(0, 1, vec![node(text("n"), 70_000, A)])]), text(&line(A, "master", 1)))]
#[case::slot_too_large(Value::Array(vec![range(0, 70_000, vec![node(text("n"), 1, A)])]), text(&line(A, "master", 1)))]
#[case::no_epoch(Value::Array(vec![range(0, 1, vec![node(text("n"), 1, A)])]), text(&line(B, "master", 1)))]
#[case::half_a_line(Value::Array(vec![]), text("aaaaaaaa 10.0.0.9:6379"))]
#[case::no_number(Value::Array(vec![]), text("a b master - 0 0 x connected"))]
#[case::no_text(Value::Array(vec![]), Value::Nil)]
fn an_answer_of_another_form_is_none(#[case] slots: Value, #[case] nodes: Value) {
    assert_eq!(Answer::parse(&slots, &nodes, &asked()), None);
}

fn owner(known: &Known, slot: u16) -> Option<u16> {
    known.map.as_ref().unwrap().owner(slot).map(|place| place.port)
}

fn hear(known: &mut Known, port: u16, answer: Answer) -> bool {
    known.hear(&place("n", port), answer)
}

/// Whoever answers last: the node that was away names the primaries of the past.
#[rstest]
#[case::the_new_one_last(false)]
#[case::the_old_one_last(true)]
fn row_26h_the_greatest_epoch_wins(#[case] is_old_last: bool) {
    let old = answer(&[(A, 7001, 0, 8000, 1), (B, 7002, 8001, 16_383, 2)]);
    let new = answer(&[(C, 7003, 0, 8000, 3), (A, 7001, 8001, 8001, 1), (B, 7002, 8002, 16_383, 2)]);
    let mut known = Known::default();
    let answers = if is_old_last { [(7003, new), (7001, old)] } else { [(7001, old), (7003, new)] };
    for (port, answer) in answers {
        assert!(hear(&mut known, port, answer));
    }
    known.round_is_over(2, 0);
    assert_eq!(
        (owner(&known, 0), owner(&known, 8000), owner(&known, 8002)),
        (Some(7003), Some(7003), Some(7002))
    );
    assert!(known.is_settled());
}

#[test]
fn a_node_of_another_cluster_is_not_heard_until_nothing_else_is_left() {
    let mut known = Known::default();
    assert!(hear(&mut known, 7001, answer(&[(A, 7001, 0, 16_383, 1)])));
    known.round_is_over(1, 0);
    let stranger = answer(&[(C, 7009, 0, 16_383, 9)]);
    assert!(!hear(&mut known, 7001, stranger.clone()), "its address is used again");
    assert!(hear(&mut known, 7002, answer(&[(A, 7001, 0, 16_383, 1)])) || known.answers.is_empty());
    let mut known = Known::default();
    assert!(hear(&mut known, 7001, answer(&[(A, 7001, 0, 16_383, 1)])));
    for _ in 0..ROUNDS_UNTIL_REPLACED {
        assert!(!hear(&mut known, 7009, stranger.clone()));
        assert_eq!(owner(&known, 0), Some(7001));
        known.round_is_over(0, 1);
    }
    assert!(hear(&mut known, 7009, stranger));
    assert_eq!(owner(&known, 0), Some(7009));
}

#[test]
fn a_node_that_no_other_one_names_is_forgotten() {
    let mut known = Known::default();
    let three = answer(&[(A, 7001, 0, 10, 1), (B, 7002, 11, 20, 2), (C, 7003, 21, 16_383, 3)]);
    for port in 7001..=7003 {
        assert!(hear(&mut known, port, three.clone()));
    }
    known.round_is_over(3, 0);
    let two = answer(&[(A, 7001, 0, 20, 4), (C, 7003, 21, 16_383, 3)]);
    for port in [7001, 7003] {
        assert!(hear(&mut known, port, two.clone()));
    }
    known.failed(&place("n", 7002));
    known.round_is_over(2, 0);
    assert_eq!(known.places(), BTreeSet::from([place("n", 7001), place("n", 7003)]));
    assert!(known.is_settled(), "the one that has left is not missed");
}

#[test]
fn a_seed_under_another_name_is_asked_once() {
    let mut known = Known::default();
    let one = answer(&[(A, 7001, 0, 16_383, 1)]);
    assert!(known.hear(&asked(), one.clone()));
    known.round_is_over(1, 0);
    assert_eq!(owner(&known, 5), Some(7001), "until the node itself has answered");
    assert!(hear(&mut known, 7001, one));
    known.round_is_over(1, 0);
    assert!(!known.answers.contains_key(&asked()));
}

#[rstest]
#[case::all_well(None, 16_383, true)]
#[case::a_primary_is_silent(Some(7002), 16_383, false)]
#[case::a_slot_has_no_owner(None, 16_382, false)]
fn slots_without_a_primary_that_answers_are_asked_for_again_soon(
    #[case] silent: Option<u16>,
    #[case] last: i64,
    #[case] settled: bool,
) {
    let mut known = Known::default();
    let both = answer(&[(A, 7001, 0, 10, 1), (B, 7002, 11, last, 2)]);
    assert!(hear(&mut known, 7001, both.clone()) && hear(&mut known, 7002, both));
    silent.iter().for_each(|port| known.failed(&place("n", *port)));
    known.round_is_over(2, 0);
    assert_eq!(known.is_settled(), settled);
}

#[test]
fn a_map_that_nobody_confirms_stays() {
    let mut known = Known::default();
    assert!(hear(&mut known, 7001, answer(&[(A, 7001, 0, 16_383, 1)])));
    known.round_is_over(1, 0);
    known.failed(&place("n", 7001));
    known.round_is_over(0, 0);
    assert_eq!(owner(&known, 7), Some(7001));
    assert!(!known.is_settled() && !known.answered);
}

fn any_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Nil),
        any::<i64>().prop_map(Value::Int),
        (0_i64..20_000).prop_map(Value::Int),
        "[a-z0-9 ,:\n@-]{0,40}".prop_map(|text| Value::BulkString(text.into_bytes())),
        proptest::collection::vec(any::<u8>(), 0..9).prop_map(Value::BulkString),
    ];
    leaf.prop_recursive(3, 40, 5, |inner| proptest::collection::vec(inner, 0..5).prop_map(Value::Array))
}

proptest! {
    /// Anything may come from a server: no panic, and no map with slots that do not exist.
    #[test]
    fn no_answer_makes_the_topology_panic(slots in any_value(), nodes in any_value()) {
        let mut known = Known::default();
        if let Some(answer) = Answer::parse(&slots, &nodes, &asked()) {
            known.hear(&asked(), answer);
        }
        known.round_is_over(1, 0);
        prop_assert!(known.map.as_ref().is_none_or(|map| map.unowned() <= usize::from(SLOTS)));
    }
}

/// Refuses each connection, and counts them.
#[derive(Debug, Default, Clone)]
struct Refusing(Arc<AtomicUsize>);

impl Network for Refusing {
    fn tcp(&self, _: SocketAddr) -> OpenFuture {
        self.0.fetch_add(1, Relaxed);
        async { Err(io::ErrorKind::ConnectionRefused.into()) }.boxed()
    }

    fn unix(&self, _: &Path) -> OpenFuture {
        async { Err(io::ErrorKind::Unsupported.into()) }.boxed()
    }

    fn background(&self, _: &str, work: BoxFuture<'static, ()>) -> io::Result<()> {
        tokio::spawn(work);
        Ok(())
    }
}

/// Many instances that ask all the time are a load of their own.
#[test]
fn lost_nodes_are_asked_often_for_some_seconds_and_then_less() {
    paused(async {
        let network = Refusing::default();
        let Ok(StoreUrl::Redis(target)) = "redis+cluster://node.test:7000".parse() else { unreachable!() };
        let resolver =
            Resolver::of_async(|_| async { Ok(Arc::from([SocketAddr::from(([10, 0, 0, 1], 0))])) });
        let limit = Duration::from_millis(300);
        let connector = RedisConnector::over(target, limit, resolver, Arc::new(network.clone()));
        let cluster = connector.cluster().unwrap();
        let _view = cluster.view().unwrap();
        let asked_in = async |time: Duration| {
            let (before, until) = (network.0.load(Relaxed), Instant::now() + time);
            while Instant::now() < until {
                cluster.poke();
                sleep(Duration::from_millis(10)).await;
            }
            network.0.load(Relaxed) - before
        };
        let at_first = asked_in(Duration::from_secs(5)).await;
        assert!((80..=101).contains(&at_first), "{at_first} in 5 s");
        asked_in(Duration::from_secs(6)).await;
        let later = asked_in(Duration::from_secs(5)).await;
        assert!((8..=11).contains(&later), "{later} in 5 s");
    });
}
