//! The comparison groups: contenders that run side by side and take short turns, so that their numbers can be compared.

use crate::{
    contenders::{
        ASSIGNMENT, AXUM, CLUSTER, DEAD, DIRECT, DIRECT_AGAIN, EMBEDDED, FASTAPI, FASTIFY, FLOOR, FROZEN,
        MEMCACHED, NEAR, NEAR_AGAIN, NO_LOG, PUBLIC_TLS, PURE, PURE_AGAIN, SERVICE, SERVICE_AGAIN, TARANTOOL,
        TLS,
    },
    workloads::Workload,
};

/// Contenders whose processes run side by side.
pub struct Group {
    pub name: &'static str,
    /// The share of the rounds: 1 for all of them, 2 for every other one. Larger differences need fewer rounds.
    pub every: usize,
    pub loads: &'static [Load],
}

/// One load of a group, for some of its members.
pub struct Load {
    pub workload: Workload,
    pub connections: usize,
    /// A reference and its twin are apart, as others are: each turn follows on another contender's.
    pub members: &'static [&'static str],
}

/// All groups, in the order of their measurement.
pub const GROUPS: &[Group] = &[
    Group {
        name: "limits",
        every: 1,
        loads: &[
            load(
                Workload::Cached,
                &[PURE, DIRECT, NEAR, FLOOR, SERVICE, PURE_AGAIN, NO_LOG, DIRECT_AGAIN, AXUM],
            ),
            Load {
                connections: 256,
                ..load(Workload::Cached, &[DIRECT, NEAR, PURE, DIRECT_AGAIN, SERVICE, AXUM])
            },
        ],
    },
    Group {
        name: "peers",
        every: 2,
        loads: &[
            load(Workload::Cached, &[NEAR, SERVICE, AXUM, FASTIFY, SERVICE_AGAIN, FASTAPI, ASSIGNMENT]),
            load(Workload::Interests(10), &[SERVICE, AXUM, FASTIFY, SERVICE_AGAIN, FASTAPI]),
            load(Workload::Interests(100), &[SERVICE, AXUM, FASTIFY, SERVICE_AGAIN, FASTAPI, ASSIGNMENT]),
            load(Workload::Interests(1_000), &[SERVICE, AXUM, FASTIFY, SERVICE_AGAIN, FASTAPI]),
            load(Workload::Interests(10_000), &[SERVICE, AXUM, FASTIFY, SERVICE_AGAIN, FASTAPI]),
        ],
    },
    Group {
        name: "stores",
        every: 2,
        loads: &[
            load(
                Workload::Cached,
                &[SERVICE, TLS, CLUSTER, EMBEDDED, SERVICE_AGAIN, MEMCACHED, TARANTOOL, DEAD, FROZEN],
            ),
            load(Workload::Interests(100), &[SERVICE, CLUSTER, EMBEDDED, SERVICE_AGAIN, TARANTOOL, TLS]),
            load(Workload::Interests(1_000), &[SERVICE, CLUSTER, EMBEDDED, SERVICE_AGAIN, TARANTOOL]),
        ],
    },
    Group {
        name: "public TLS",
        every: 2,
        loads: &[
            load(Workload::Cached, &[NEAR, PUBLIC_TLS, NEAR_AGAIN]),
            load(Workload::Handshakes, &[PUBLIC_TLS]),
        ],
    },
    // The only load that fills the store, so it has processes of its own.
    Group {
        name: "distinct",
        every: 5,
        loads: &[load(
            Workload::Distinct,
            &[DIRECT, NEAR, SERVICE, EMBEDDED, DEAD, FROZEN, AXUM, FASTIFY, FASTAPI, ASSIGNMENT],
        )],
    },
];

/// Contenders measured at the same fixed rate: 60 % of the peak of the slowest one in the group. With the share of the
/// rounds, as above.
pub const LATENCY_GROUPS: &[(usize, &[&str])] = &[
    (1, &[PURE, DIRECT, NEAR, NO_LOG, PURE_AGAIN, SERVICE, EMBEDDED, DEAD, FROZEN, SERVICE_AGAIN]),
    (5, &[AXUM, SERVICE]),
    (5, &[FASTIFY, SERVICE]),
    (5, &[FASTAPI, SERVICE]),
    (5, &[ASSIGNMENT, SERVICE]),
];

const fn load(workload: Workload, members: &'static [&'static str]) -> Load {
    Load { workload, connections: workload.connections(), members }
}

/// The turns of a round: each begins with another member, and every other one goes backwards, so that no contender always
/// follows on the same one.
pub fn order(members: usize, round: usize) -> impl Iterator<Item = usize> {
    (0..members).map(move |turn| {
        let turn = if round.is_multiple_of(2) { turn } else { members - 1 - turn };
        (turn + round) % members
    })
}
