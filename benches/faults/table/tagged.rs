//! Faults of memcached, as the cache beside a healthy store, and of Tarantool, for both roles.

use testkit::Wrong;

use super::{BOUND, NEVER_OPEN, R1, Row, degraded, ms, ok, row};
use crate::{
    row::{
        Bounds, Cause, Expected, Interests,
        Kind::{Own, Store},
        On,
    },
    tagged_rows,
};

/// The cache is lost: right scores and interests, and a readiness that reports it.
const fn lost(cause: Cause) -> Expected {
    let bounds = Bounds { open_interests: None, ..BOUND };
    Expected { on: On::Memcached, readiness: Some("degraded"), bounds, recovery: R1, ..ok(cause) }
}

/// All is right, whatever readiness reports meanwhile.
const fn shaken(cause: Cause) -> Expected {
    Expected { on: On::Memcached, readiness: None, recovery: R1, ..ok(cause) }
}

/// Both roles are lost.
const fn down(cause: Cause) -> Expected {
    Expected { on: On::Tarantool, ..degraded(cause) }
}

/// A part of the reads may be refused.
const fn rough(cause: Cause, interests: Interests) -> Expected {
    Expected { on: On::Tarantool, interests, readiness: None, recovery: R1, ..ok(cause) }
}

const fn answers(wrong: fn() -> Wrong) -> Cause {
    Cause::Answers(wrong)
}

const LATENCY: Bounds = Bounds { open_score: Some(ms(1)), ..NEVER_OPEN };

pub(super) const ROWS: &[Row] = &[
    row(
        "01_memcached",
        "down when the service starts",
        "starts; score OK; R1",
        Store(lost(Cause::DownAtStart)),
    ),
    row("02_memcached", "killed with -9", "score OK; R1", Store(lost(Cause::Kill9))),
    row("03_memcached", "stopped with SIGSTOP", "score OK; R1", Store(lost(Cause::Stop))),
    row(
        "04_memcached",
        "accepts, never answers",
        "score OK; R1",
        Store(lost(answers(|| Wrong::StopAfter(0)))),
    ),
    row("05_memcached", "half-open", "OK; rebuilt within 1 s of the onset", Store(shaken(Cause::Freeze))),
    row("06_memcached", "connect goes nowhere", "score OK; R1", Store(lost(Cause::Clog))),
    row(
        "07_memcached",
        "every answer cut off in the middle",
        "score OK; R1",
        Store(lost(answers(|| Wrong::CutAfter(3)))),
    ),
    row(
        "08_memcached_garbage",
        "garbage",
        "score OK; memory does not grow; R1",
        Store(lost(answers(|| Wrong::Garbage))),
    ),
    row(
        "08_memcached_length",
        "a length of 4 GB, and bytes without end",
        "score OK; memory does not grow; R1",
        Store(lost(answers(|| Wrong::HugeLength))),
    ),
    row(
        "09_memcached",
        "answers arrive byte by byte",
        "OK",
        Store(Expected { on: On::Memcached, ..ok(answers(|| Wrong::Slices)) }),
    ),
    row(
        "10_memcached",
        "refused and accepted in turn",
        "OK; 2 changes a second; R1",
        Store(shaken(Cause::Flap)),
    ),
    row(
        "11_memcached",
        "100 ms of extra latency",
        "score OK without the cache; R1",
        Store(Expected { bounds: LATENCY, ..lost(Cause::Latency(ms(100))) }),
    ),
    row("12_memcached", "1 s of extra latency", "score OK; R1", Store(lost(Cause::Latency(ms(1_000))))),
    row("13_memcached", "5 % of packets lost", "OK; R1", Store(shaken(Cause::Loss(0.05)))),
    row(
        "14_memcached",
        "SERVER_ERROR to each read",
        "score OK; connection kept; R1",
        Store(lost(answers(|| Wrong::Error(0)))),
    ),
    row("21_memcached", "all connections cut every 100 ms", "OK; R1", Store(shaken(Cause::CutAll))),
    row("01_tarantool", "down when the service starts", "starts; D; R1", Store(down(Cause::DownAtStart))),
    row("02_tarantool", "killed with -9", "D; R1", Store(down(Cause::Kill9))),
    row("03_tarantool", "stopped with SIGSTOP", "D; R1", Store(down(Cause::Stop))),
    row("04_tarantool", "accepts, never answers", "D; R1", Store(down(answers(|| Wrong::StopAfter(0))))),
    row(
        "05_tarantool",
        "half-open",
        "D at most; rebuilt within 1 s of the onset",
        Store(Expected { readiness: Some("ready"), ..rough(Cause::Freeze, Interests::Either) }),
    ),
    row("06_tarantool", "connect goes nowhere", "D; R1", Store(down(Cause::Clog))),
    row(
        "07_tarantool",
        "every answer cut off in the middle",
        "D; R1",
        Store(down(answers(|| Wrong::CutAfter(9)))),
    ),
    row(
        "08_tarantool_garbage",
        "garbage",
        "D; memory does not grow; R1",
        Store(down(answers(|| Wrong::Garbage))),
    ),
    row(
        "08_tarantool_length",
        "a length of 4 GB, and bytes without end",
        "D; memory does not grow; R1",
        Store(down(answers(|| Wrong::HugeLength))),
    ),
    row(
        "09_tarantool",
        "answers arrive byte by byte",
        "OK",
        Store(Expected { on: On::Tarantool, ..ok(answers(|| Wrong::Slices)) }),
    ),
    row(
        "10_tarantool",
        "refused and accepted in turn",
        "D at most; 2 changes a second; R1",
        Store(rough(Cause::Flap, Interests::Either)),
    ),
    row(
        "11_tarantool",
        "100 ms of extra latency",
        "score OK without the cache; interests OK; R1",
        Store(Expected {
            readiness: Some("degraded"),
            bounds: LATENCY,
            ..rough(Cause::Latency(ms(100)), Interests::Served)
        }),
    ),
    row("12_tarantool", "1 s of extra latency", "D; R1", Store(down(Cause::Latency(ms(1_000))))),
    row(
        "13_tarantool",
        "5 % of packets lost",
        "score OK; 97 % of reads OK; R1",
        Store(rough(Cause::Loss(0.05), Interests::Mostly(97.0))),
    ),
    row(
        "14_tarantool",
        "error 116: the server starts",
        "D; connection kept; R1",
        Store(down(answers(|| Wrong::Error(116)))),
    ),
    row(
        "21_tarantool",
        "all connections cut every 100 ms",
        "score OK; 99 % of reads OK; R1",
        Store(rough(Cause::CutAll, Interests::Mostly(99.0))),
    ),
    row(
        "48_tarantool",
        "four times an answer never comes, and the later ones do",
        "score OK; each connection is replaced; R1",
        Own(tagged_rows::answers_get_lost),
    ),
    row(
        "23_tarantool",
        "an import of 100,000 clients",
        "OK; no read waits for more than 100 ms; seen at once or not at all",
        Own(tagged_rows::an_import_beside_reads),
    ),
];
