//! Draws a script from a seed.

use std::time::Duration;

use chrono::TimeDelta;
use fastrand::Rng;

use super::{ActorName, Fault, Happening, Protocol, Script, StoreKind, WorldPlan};
use crate::{
    seed::Seed,
    world::{CLIENTS, DATABASES, DeadAddress, LogIn, LookUp, SENTINELS, Tamper, Then},
};

/// The most faults of a script.
const MOST_FAULTS: usize = 5;

/// The time in which faults begin, from one second after the start.
const FAULTY_FOR: Duration = Duration::from_secs(8);

/// The longest fault.
const LONGEST: Duration = Duration::from_secs(4);

/// Errors that a server may answer to any step of the log-in.
const STEP_ERRORS: [&str; 4] = [
    "BUSY Redis is busy running a script.",
    "LOADING Redis is loading the dataset in memory",
    "ERR internal error",
    "MASTERDOWN Link with MASTER is down",
];

const WRITE_ERRORS: [&str; 3] = [
    "OOM command not allowed when used memory > 'maxmemory'.",
    "MISCONF Errors writing to the AOF file: No space left on device",
    "READONLY You can't write against a read only replica.",
];

/// The script of `seed`.
pub fn draw(seed: Seed) -> Script {
    draw_with(seed, MOST_FAULTS, FAULTY_FOR)
}

/// A script of `seed` that takes 10,000 simulated seconds.
pub fn draw_long(seed: Seed) -> Script {
    draw_with(seed, 600, Duration::from_secs(10_000))
}

fn draw_with(seed: Seed, most_faults: usize, faulty_for: Duration) -> Script {
    let random = &mut seed.generator(0);
    let mut plan = WorldPlan {
        kind: StoreKind::One,
        speaks: Protocol::Redis,
        cache_speaks: Protocol::Redis,
        is_embedded: random.u8(..6) == 0,
        starts_without_file: false,
        has_own_cache: random.bool(),
        has_password: random.bool(),
        database: random.usize(..DATABASES),
        cache_database: random.usize(..DATABASES),
        latency: latency(random),
        has_near_cache: random.u8(..4) == 0,
        callers: random.usize(1..3),
        impatient_callers: random.usize(..2),
    };
    // From numbers of its own, so that older seeds keep their scripts.
    let random = &mut {
        let mut of_groups = seed.generator(1 << 34);
        let kind = [StoreKind::Sentinel, StoreKind::Cluster][of_groups.usize(..2)];
        if !plan.is_embedded && of_groups.u8(..3) == 0 {
            plan.kind = kind;
            if kind == StoreKind::Cluster {
                (plan.database, plan.cache_database) = (0, 0);
            }
            of_groups
        } else {
            random.clone()
        }
    };
    draw_protocols(&mut seed.generator(1 << 35), &mut plan);
    // A long run has as many faults as it may, at any time; a short one has few, and close together.
    let count = if most_faults > MOST_FAULTS { most_faults } else { random.usize(1..=most_faults) };
    let mut happenings: Vec<_> = (0..count)
        .map(|_| {
            let at = if most_faults > MOST_FAULTS {
                faulty_for.mul_f64(random.f64())
            } else {
                time(random, faulty_for)
            };
            happening(random, &plan, Duration::from_secs(1) + at)
        })
        .collect();
    // The service writes the file only when it creates it.
    if plan.is_embedded && random.u8(..3) == 0 {
        plan.starts_without_file = true;
        // A file that goes before the service has seen it is made anew.
        happenings.retain(|happening| happening.fault != Fault::FileAway);
        let lasts = time(random, LONGEST);
        happenings.push(Happening { at: Duration::ZERO, lasts, fault: Fault::DiskFull });
    }
    // Without sentinels the service cannot hear of a failover, and an old primary that comes back would be believed.
    if happenings.iter().any(|happening| happening.fault.is_replaced(&plan)) {
        happenings.retain(|happening| happening.fault != Fault::SentinelsDown);
    }
    happenings.retain(|happening| happening.fault.exists_in(&plan));
    happenings.sort_by_key(|happening| happening.at);
    // The end of one would end the other as well.
    let mut apart: Vec<Happening> = Vec::new();
    for happening in happenings {
        if !apart.iter().any(|earlier| earlier.undoes(&happening)) {
            apart.push(happening);
        }
    }
    let happenings = apart;
    Script { plan, happenings }
}

/// Servers of other kinds than Redis. They have one database.
fn draw_protocols(random: &mut Rng, plan: &mut WorldPlan) {
    if plan.kind == StoreKind::One && !plan.is_embedded && random.u8(..3) == 0 {
        plan.speaks = Protocol::Tarantool;
        plan.database = 0;
        if !plan.has_own_cache {
            plan.cache_database = 0;
        }
    }
    if plan.has_own_cache && random.bool() {
        plan.cache_speaks = [Protocol::Memcached, Protocol::Tarantool][random.usize(..2)];
        plan.cache_database = 0;
    }
}

/// The time of a byte: a server in the same room, or far away.
fn latency(random: &mut Rng) -> Duration {
    let most = if random.u8(..4) == 0 { 20_000 } else { 1_000 };
    Duration::from_micros(random.u64(20..most))
}

fn happening(random: &mut Rng, plan: &WorldPlan, at: Duration) -> Happening {
    let fault = fault(random, plan);
    let lasts = match fault {
        Fault::HalfOpen(_)
        | Fault::Cut(_)
        | Fault::Withheld { .. }
        | Fault::Tampered { .. }
        | Fault::Moved(_)
        | Fault::Dribbles { .. }
        | Fault::FileReplaced
        | Fault::Evicted
        | Fault::Spoiled
        | Fault::WallClock(_)
        | Fault::Panic(_)
        | Fault::Stuck(_) => Duration::ZERO,
        _ => time(random, LONGEST),
    };
    Happening { at, lasts, fault }
}

/// A time up to `most`, more often a short one.
fn time(random: &mut Rng, most: Duration) -> Duration {
    let share = random.f64();
    Duration::from_millis(u64::try_from(most.mul_f64(share * share).as_millis()).unwrap_or(0).max(1))
}

fn fault(random: &mut Rng, plan: &WorldPlan) -> Fault {
    if plan.is_embedded && (!plan.has_own_cache || random.bool()) {
        return fault_of_a_file(random);
    }
    if plan.kind != StoreKind::One && random.u8(..4) > 0 {
        return fault_of_a_group(random, plan);
    }
    let server = if plan.is_embedded {
        1
    } else if plan.kind == StoreKind::One {
        random.usize(..if plan.has_own_cache { 2 } else { 1 })
    } else {
        // One node fails here; a whole group has faults of its own.
        return fault_of_the_wire(random, plan);
    };
    match random.u8(..26) {
        0 => Fault::Down { server, loses_data: random.bool() },
        1 => Fault::Unreachable(server),
        2 => Fault::Frozen(server),
        3 => Fault::HalfOpen(server),
        4 => Fault::Cut(server),
        5 | 6 => {
            let then = if random.bool() { Then::Silence } else { Then::End };
            Fault::Withheld { server, after: random.usize(..120), then }
        }
        7 | 8 => {
            let again = Tamper::Again(random.usize(1..4));
            let tamper = [Tamper::WrongLength, Tamper::Repeat, Tamper::Drop, again, again][random.usize(..5)];
            Fault::Tampered { server, tamper }
        }
        9 => {
            let most = if random.bool() { 50 } else { 1_000 };
            Fault::Slow { server, by: Duration::from_millis(random.u64(1..=most)) }
        }
        10 => Fault::Trickles { server, gap: Duration::from_micros(random.u64(10..100)) },
        11 => Fault::Loading(server),
        12 => Fault::Script { server, silent: Duration::from_millis(random.u64(..1_000)) },
        13 => Fault::WritesRefused { server, error: WRITE_ERRORS[random.usize(..WRITE_ERRORS.len())] },
        14 => {
            let step = [LogIn::Auth, LogIn::Select, LogIn::Ping][random.usize(..3)];
            Fault::StepRefused { server, step, error: STEP_ERRORS[random.usize(..STEP_ERRORS.len())] }
        }
        15 => Fault::OtherPassword(server),
        16 => Fault::Full(server),
        17 => Fault::Moved(server),
        18 => Fault::DeadAddress { server, dead: DeadAddress::ALL[random.usize(..3)] },
        19 => Fault::Name { server, look_up: [LookUp::Unknown, LookUp::Hangs][random.usize(..2)] },
        20 => [Fault::Evicted, Fault::Spoiled][random.usize(..2)].clone(),
        21 | 25 => Fault::OtherKind(random.i64(CLIENTS)),
        22 => Fault::WallClock(TimeDelta::seconds(random.i64(-90_000..90_000))),
        23 => Fault::Dribbles { server, gap: Duration::from_millis(random.u64(250..340)) },
        _ => fault_of_an_actor(random),
    }
}

/// A fault of the connections to a server of a group, or of the rest of the world.
fn fault_of_the_wire(random: &mut Rng, plan: &WorldPlan) -> Fault {
    let server = random.usize(..plan.kind.nodes() + usize::from(plan.has_own_cache));
    match random.u8(..8) {
        0 => {
            let then = if random.bool() { Then::Silence } else { Then::End };
            Fault::Withheld { server, after: random.usize(..120), then }
        }
        1 => {
            let again = Tamper::Again(random.usize(1..4));
            let tamper = [Tamper::WrongLength, Tamper::Repeat, Tamper::Drop, again][random.usize(..4)];
            Fault::Tampered { server, tamper }
        }
        2 => Fault::Slow { server, by: Duration::from_millis(random.u64(1..=200)) },
        3 => Fault::Trickles { server, gap: Duration::from_micros(random.u64(10..100)) },
        4 => Fault::Evicted,
        5 => Fault::OtherKind(random.i64(CLIENTS)),
        _ => fault_of_an_actor(random),
    }
}

/// A fault of the servers of a group. Others than these are drawn as for one server.
fn fault_of_a_group(random: &mut Rng, plan: &WorldPlan) -> Fault {
    let server = random.usize(..plan.kind.nodes());
    match random.u8(..12) {
        0 | 1 => Fault::Down { server, loses_data: false },
        2 | 3 => Fault::Frozen(server),
        4 => Fault::Unreachable(server),
        5 => Fault::HalfOpen(server),
        6 => Fault::Cut(server),
        7 => Fault::AllDown,
        _ if plan.kind == StoreKind::Sentinel => match random.u8(..4) {
            0 => Fault::SentinelsDown,
            _ => Fault::SentinelDown(random.usize(..SENTINELS)),
        },
        8 => Fault::Confused(server),
        9 => Fault::ClusterDown,
        _ => Fault::SlotMoves(random.i64(CLIENTS)),
    }
}

fn fault_of_a_file(random: &mut Rng) -> Fault {
    match random.u8(..7) {
        0 | 1 => Fault::DiskFails,
        2 => Fault::DiskSlow(random.u32(1..2_000)),
        3 => Fault::FileAway,
        4 => Fault::FileReplaced,
        // Behind both copies of the header.
        5 => Fault::FileDamaged(random.u64(8_192..40_000)),
        _ => fault_of_an_actor(random),
    }
}

fn fault_of_an_actor(random: &mut Rng) -> Fault {
    let actor = ActorName::ALL[random.usize(..ActorName::ALL.len())];
    if random.bool() { Fault::Panic(actor) } else { Fault::Stuck(actor) }
}

impl Fault {
    /// Whether a server of its protocol can have it.
    fn exists_in(&self, plan: &WorldPlan) -> bool {
        let protocol = |server: &usize| plan.protocol(*server);
        match self {
            Self::Loading(server) | Self::OtherPassword(server) => protocol(server) != Protocol::Memcached,
            Self::StepRefused { server, step, .. } => match step {
                LogIn::Auth => protocol(server) != Protocol::Memcached,
                LogIn::Select => protocol(server) == Protocol::Redis,
                LogIn::Ping => true,
            },
            _ => true,
        }
    }
}

impl ActorName {
    const ALL: [Self; 5] =
        [Self::Dispatcher, Self::Scoring, Self::Interests, Self::CacheStore, Self::PersistentStore];
}
