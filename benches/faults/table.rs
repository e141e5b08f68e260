//! The fault table: every row, its required outcome, and its bounds.

mod stores;
mod tagged;
mod verified;

use std::time::Duration;

pub use stores::{ON_STORES, OnStores};
use testkit::{Fault, READS};

use crate::{
    cluster_rows, overload, own, redis_rows,
    row::{
        Bad, Bounds, Cause, Expected, Interests,
        Kind::{Own, Store, Test},
        On, Row,
    },
    signals, slow, topology_rows,
};

const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// For every fault of the store.
const BOUND: Bounds =
    Bounds { score: ms(100), interests: ms(600), open_score: Some(ms(1)), open_interests: Some(ms(5)) };
/// The same where the breaker must not open.
const NEVER_OPEN: Bounds = Bounds { open_score: None, open_interests: None, ..BOUND };
const R1: Option<Duration> = Some(ms(1_000));

/// Right scores, refused interests, a readiness that reports it; all OK within a second.
const fn degraded(cause: Cause) -> Expected {
    Expected {
        cause,
        on: On::Redis,
        interests: Interests::Refused,
        readiness: Some("degraded"),
        bounds: BOUND,
        recovery: R1,
    }
}

/// Right scores and interests.
const fn ok(cause: Cause) -> Expected {
    Expected {
        cause,
        on: On::Redis,
        interests: Interests::Served,
        readiness: Some("ready"),
        bounds: NEVER_OPEN,
        recovery: None,
    }
}

const fn denied(cause: Cause) -> Expected {
    Expected { recovery: Some(ms(5_000)), ..degraded(cause) }
}

const fn row(id: &'static str, fault: &'static str, must: &'static str, kind: super::row::Kind) -> Row {
    Row { id, fault, must, kind }
}

/// All rows, in the order of the table.
pub fn rows() -> impl Iterator<Item = &'static Row> {
    ROWS.iter().chain(tagged::ROWS).chain(verified::ROWS)
}

/// Faults of the store, the actors, HTTP and the process.
const ROWS: &[Row] = &[
    row("01", "store down when the service starts", "starts; D; R1", Store(degraded(Cause::DownAtStart))),
    row("02", "store killed with -9", "D; R1", Store(degraded(Cause::Kill9))),
    row("03_stopped", "store stopped with SIGSTOP", "D; R1", Store(degraded(Cause::Stop))),
    row("03_script", "store blocked by a slow script", "D; R1", Store(degraded(Cause::Script))),
    row("04", "accepts, never answers", "D; R1", Store(degraded(Cause::Replies(|| Fault::Stall.into())))),
    row(
        "05",
        "half-open: old connections dead, new ones work",
        "D at most; rebuilt within 1 s of the onset",
        Store(Expected {
            interests: Interests::Either,
            readiness: Some("ready"),
            recovery: R1,
            ..ok(Cause::Freeze)
        }),
    ),
    row("06", "connect goes nowhere (full backlog)", "D; R1", Store(degraded(Cause::Clog))),
    row(
        "07_now_and_then",
        "a reply cut off in the middle, each 200 ms",
        "score OK; reads retried",
        Store(Expected { recovery: R1, ..ok(Cause::CutsNowAndThen) }),
    ),
    row(
        "07_always",
        "every reply cut off in the middle",
        "D; R1",
        Store(degraded(Cause::Replies(|| Fault::CutMidReply(3).on(READS)))),
    ),
    row(
        "08_garbage",
        "garbage instead of RESP",
        "D; memory does not grow; R1",
        Store(degraded(Cause::Replies(|| Fault::Garbage.into()))),
    ),
    row(
        "08_length",
        "a length prefix of 1 GB, and silence",
        "D; memory does not grow; R1",
        Store(degraded(Cause::Replies(|| Fault::HugeLength(100_000).into()))),
    ),
    row("09", "replies arrive byte by byte", "OK", Store(ok(Cause::Replies(|| Fault::Slice.into())))),
    row(
        "10",
        "refused and accepted in turn, 10 times a second",
        "D at most; 2 changes of state a second at most; R1",
        Store(Expected { interests: Interests::Either, readiness: None, recovery: R1, ..ok(Cause::Flap) }),
    ),
    row(
        "11",
        "100 ms of extra latency",
        "score OK without the cache; interests OK; R1",
        Store(Expected {
            readiness: Some("degraded"),
            bounds: Bounds { open_score: Some(ms(1)), ..NEVER_OPEN },
            recovery: R1,
            ..ok(Cause::Latency(ms(100)))
        }),
    ),
    row("12_1s", "1 s of extra latency", "D; R1", Store(degraded(Cause::Latency(ms(1_000))))),
    row("12_10s", "10 s of extra latency", "D; R1", Store(degraded(Cause::Latency(ms(10_000))))),
    row(
        "13",
        "5 % of packets lost, each a stall of 200 ms or more; 40 calls of each method a second",
        "score OK; 97 % of reads OK; R1",
        Store(Expected {
            interests: Interests::Mostly(97.0),
            readiness: None,
            recovery: R1,
            ..ok(Cause::Loss(0.05))
        }),
    ),
    row("14_loading", "-LOADING", "D; connection kept; R1", Store(degraded(Cause::Replies(Fault::loading)))),
    row("14_busy", "-BUSY", "D; connection kept; R1", Store(degraded(Cause::Replies(Fault::busy)))),
    row(
        "15",
        "-READONLY",
        "reads OK; writes dropped, connection re-resolved; R1",
        Store(Expected { recovery: R1, ..ok(Cause::Replies(Fault::readonly)) }),
    ),
    row("16_oom", "-OOM", "OK; writes dropped and counted", Store(ok(Cause::Replies(Fault::oom)))),
    row(
        "16_misconf",
        "-MISCONF",
        "OK; writes dropped and counted",
        Store(ok(Cause::Replies(Fault::misconf))),
    ),
    row("17_noauth", "-NOAUTH", "D; slow retries; 5 s", Store(denied(Cause::Replies(Fault::noauth)))),
    row("17_noperm", "-NOPERM", "D; slow retries; 5 s", Store(denied(Cause::Replies(Fault::noperm)))),
    row(
        "17_wrongpass",
        "-WRONGPASS from the start",
        "D; slow retries; secret never logged; 5 s",
        Store(denied(Cause::WrongPassword)),
    ),
    row("18", "max number of clients reached", "D; R1", Store(degraded(Cause::MaxClients))),
    row(
        "19",
        "-WRONGTYPE under a key of interests",
        "500 for that client within 5 ms, no retry; others OK",
        Store(ok(Cause::BadInterests(Bad::Type))),
    ),
    row(
        "20_interests",
        "stored interests that are none",
        "500 for that client within 5 ms, no retry; others OK",
        Store(ok(Cause::BadInterests(Bad::Value))),
    ),
    row(
        "20_score",
        "a cached score that is none",
        "computed again and overwritten",
        Store(ok(Cause::BadScores)),
    ),
    row(
        "21",
        "CLIENT KILL every 100 ms",
        "score OK; 99 % of reads OK; R1",
        Store(Expected {
            interests: Interests::Mostly(99.0),
            readiness: None,
            recovery: R1,
            ..ok(Cause::ClientKill)
        }),
    ),
    row(
        "22",
        "connection dropped while idle, then a call",
        "OK; 50 ms on top at most",
        Store(ok(Cause::DroppedWhileIdle)),
    ),
    row(
        "23",
        "CLIENT PAUSE … WRITE",
        "OK: nobody waits for a cache write; R1",
        Store(Expected { recovery: R1, ..ok(Cause::PauseWrites) }),
    ),
    row(
        "24a",
        "name resolves elsewhere or not at all",
        "D, then OK at the new address",
        Own(redis_rows::the_name_leads_elsewhere),
    ),
    row(
        "24b",
        "TLS: an unknown issuer, until it is added",
        "D; named; slow retries; 5 s",
        Own(topology_rows::an_unknown_issuer),
    ),
    row(
        "24c_half_open",
        "TLS: open connections go dead below it",
        "rebuilt; R1",
        Own(topology_rows::half_open_below_tls),
    ),
    row("24c_plain", "TLS: a server in the clear", "D; named", Own(topology_rows::a_server_in_the_clear)),
    row(
        "25a_killed",
        "Sentinel: the primary is killed",
        "D; 1 s after most sentinels name another",
        Own(topology_rows::the_primary_is_killed),
    ),
    row(
        "25a_stopped",
        "Sentinel: the primary is stopped; it comes back and says that it is primary",
        "D; 1 s after most sentinels name another; the old one is not asked",
        Own(topology_rows::the_primary_is_stopped),
    ),
    row(
        "25b",
        "SENTINEL FAILOVER",
        "at most the calls in flight fail; R1",
        Own(topology_rows::an_ordered_failover),
    ),
    row("25c", "a sentinel with old news", "the greatest epoch wins", Test("row_25c_*")),
    row(
        "25d",
        "all sentinels gone, the primary alive, connections cut",
        "OK; readiness says so",
        Own(topology_rows::no_sentinels),
    ),
    row("26a_moved", "cluster: slots are moved", "OK", Own(cluster_rows::slots_move)),
    row("26a_moving", "cluster: slots are half moved", "OK", Own(cluster_rows::slots_are_half_moved)),
    row(
        "26b",
        "cluster: a primary is killed",
        "D; 1 s after every slot is served",
        Own(cluster_rows::a_primary_is_killed),
    ),
    row(
        "26c",
        "cluster: a primary is stopped, failover, the old one comes back",
        "D; 1 s after every slot is served; the old one is not believed",
        Own(cluster_rows::a_primary_is_stopped),
    ),
    row(
        "26d",
        "CLUSTER FAILOVER; a node that is removed for good",
        "OK; at most the calls in flight fail",
        Own(cluster_rows::a_node_leaves),
    ),
    row(
        "26e",
        "cluster: the connections to one shard are half-open",
        "OK; 1 s from the onset",
        Own(cluster_rows::one_shard_is_half_open),
    ),
    row(
        "26f",
        "cluster without full coverage: a shard is lost, and comes back",
        "its clients D, all others OK; R1",
        Own(cluster_rows::a_shard_is_lost),
    ),
    row(
        "26g",
        "cluster: all nodes down and back",
        "D; 1 s after every slot is served",
        Own(cluster_rows::all_nodes_are_killed),
    ),
    row(
        "26h",
        "cluster: nodes disagree, unknown or empty endpoint, MOVED in a circle",
        "the greatest epoch wins; bounded hops; R1",
        Test("row_26h_*"),
    ),
    row(
        "27",
        "10,000 cancelled or late reads among good ones",
        "no answer belongs to another call",
        Test(
            "row_27_no_answer_ever_belongs_to_another_request, row_27_every_answer_belongs_to_its_own_question, \
             row_27_no_answer_belongs_to_another_question_while_the_cluster_changes",
        ),
    ),
    row(
        "28",
        "the store actor panics",
        "queued calls are served",
        Test("an_actor_that_falls_is_back_under_the_same_address::row_28_*"),
    ),
    row(
        "29",
        "the store actor panics each time it starts",
        "D; no core used up",
        Test("row_29_a_store_that_panics_at_each_start_is_degraded"),
    ),
    row(
        "30",
        "the scoring or interests actor panics",
        "that call: 500",
        Test(
            "an_actor_that_falls_is_back_under_the_same_address::row_30_*, requests_queued_behind_a_fall_are_served::row_30_scoring, row_30_a_call_that_scoring_falls_over_is_500, row_30_a_peer_that_falls_is_an_internal_error_at_once",
        ),
    ),
    row(
        "31",
        "the dispatcher panics",
        "that call: 500",
        Test(
            "an_actor_that_falls_is_back_under_the_same_address::row_31_*, requests_queued_behind_a_fall_are_served::row_31_dispatcher, row_31_a_call_that_panics_is_500_and_the_next_is_answered",
        ),
    ),
    row(
        "32",
        "an actor is stuck",
        "calls fail by their deadline; readiness says so",
        Test(
            "an_actor_that_is_stuck_is_noticed_and_comes_back::row_32_*, row_32_a_stuck_actor_restarts_in_time_and_serves_its_queue, row_32_a_blocked_thread_shows_in_readiness_without_a_restart, row_32_a_blocked_thread_is_reported_without_a_restart",
        ),
    ),
    row(
        "33",
        "five times the load",
        "excess: 503 within 10 ms; goodput 90 % of the peak; p99 of the served 2× at most; 1 s",
        Own(overload::five_times_the_load),
    ),
    row("34", "10,000 clients go away in the middle of a call", "nothing leaks", Own(own::clients_go_away)),
    row(
        "35",
        "heads and bodies that never end",
        "408 within 5 s and 10 s; others' p99 up by 10 % at most",
        Own(slow::slow_clients),
    ),
    row(
        "36",
        "bodies over the limit, announced and chunked",
        "413; at most 64 KiB buffered past it",
        Own(own::large_bodies),
    ),
    row(
        "37",
        "deep nesting, duplicate keys, broken text",
        "400 or 422",
        Test("any_body_gets_one_of_the_contracts_answers"),
    ),
    row("38", "CL+TE, two CLs, 97 headers, a long request line", "400 or 431", Own(own::bad_heads)),
    row(
        "39",
        "wrong verb; unknown path",
        "405 with Allow; 404",
        Test("an_unknown_path_is_404_and_a_wrong_verb_405"),
    ),
    row(
        "40",
        "a handler or middleware panics",
        "500; the connection stays usable",
        Test("row_40_a_panic_is_500_on_a_connection_that_stays_usable"),
    ),
    row(
        "41",
        "the hour turns under an admin token; summer time; a clock step",
        "a token holds for its hour and auth.admin_grace; timers do not notice",
        Test(
            "row_41_an_admin_token_goes_by_the_wall_clock_of_the_check, row_41_steps_of_the_wall_clock_do_not_change_an_outage, row_41_steps_of_the_wall_clock_do_not_change_reconnects, an_hours_token_holds_for_its_hour_and_the_grace",
        ),
    ),
    row(
        "42_once",
        "SIGTERM under load",
        "no accepted call fails; exits within the grace period",
        Own(signals::sigterm),
    ),
    row("42_twice", "a second SIGTERM", "exits at once", Own(signals::sigterm_twice)),
    row(
        "43",
        "out of file descriptors",
        "open connections work; accepts resume within 1 s",
        Own(own::out_of_files),
    ),
    row(
        "44",
        "standard output is blocked",
        "calls do not wait; lost lines are counted",
        Own(own::blocked_log),
    ),
    row(
        "45",
        "bad configuration",
        "one clear line, exit code 2, or 1 for a port that is taken",
        Test(
            "row_45_every_subcommand_names_all_faults_of_the_settings, row_45_a_port_that_is_taken_is_named_in_one_line",
        ),
    ),
];
