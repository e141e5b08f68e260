use std::pin::pin;

use futures_util::{StreamExt, future::join_all};
use proptest::prelude::*;
use tokio::task::spawn_local;

use super::*;
use crate::{
    store::{
        BackendError, CacheClient, LinkHealth, LinkPolicy, PersistentReader, Role, StoreError, StoreHealth,
        slot_of,
        testing::{Act, MILLI, SECOND, Script, ScriptedCluster, TIMEOUT, status},
    },
    testing::{paused, settle},
};

const PORTS: [u16; 3] = [1, 2, 3];

/// Three nodes with a third of the slots each, and a fourth without any.
fn thirds() -> ScriptedCluster {
    let cluster = ScriptedCluster::new(&[1, 2, 3, 4]);
    cluster.owners(|slot| Some(third(slot)));
    cluster
}

fn third(slot: u16) -> u16 {
    slot / 5462 + 1
}

/// The first key of a client in the part of the slots of this node.
fn key_at(port: u16) -> String {
    (1..).map(|id| format!("i:{id}")).find(|key| third(slot_of(key)) == port).unwrap()
}

/// A key of each of the three nodes, in their order.
fn keys() -> Arc<[String]> {
    PORTS.map(key_at).into()
}

fn redirect(key: &str, to: u16, asking: bool) -> Redirect {
    Redirect { asking, slot: slot_of(key), to: ScriptedCluster::place(to) }
}

/// The reader of a persistent store actor, which follows the cluster as the actor does.
async fn following(cluster: &ScriptedCluster, health: &Arc<StoreHealth>) -> Shards<PersistentReader> {
    let shards = Shards::new(Arc::new(cluster.clone()));
    let (task, cluster, health) = (shards.clone(), cluster.clone(), health.clone());
    spawn_local(async move {
        let mut changes = pin!(task.changes());
        while changes.next().await.is_some() {
            task.follow(|shard| {
                let (connector, health) = match shard {
                    Shard::Unknown => (Script::default().connector(), LinkHealth::new(health.clone())),
                    Shard::Primary(place) => {
                        (cluster.primary(place), LinkHealth::of_shard(health.clone(), &place.to_string()))
                    }
                    Shard::Guest(place) => (cluster.primary(place), LinkHealth::uncounted(health.clone())),
                };
                let (link, _) = Link::start(connector, LinkPolicy::new(TIMEOUT), health);
                (PersistentReader::new(std::slice::from_ref(&link), 3), vec![link])
            });
        }
    });
    settle().await;
    settle().await;
    shards
}

async fn reader(cluster: &ScriptedCluster) -> Shards<PersistentReader> {
    following(cluster, &status(Role::Persistent)).await
}

/// Each node stores its own name under all keys.
fn fill(cluster: &ScriptedCluster) {
    for (place, node) in cluster.nodes.iter() {
        for id in 1..200 {
            node.state().values.insert(format!("i:{id}"), place.port.to_string().into());
        }
    }
}

async fn read(
    shards: &Shards<PersistentReader>,
    keys: Arc<[String]>,
) -> Result<Vec<Option<String>>, StoreError> {
    let values = shards.get_many(keys, Instant::now() + SECOND / 2).await?;
    let text = |value: Vec<u8>| String::from_utf8(value).unwrap();
    Ok(values.into_iter().map(|value| value.map(text)).collect())
}

fn names(names: &[&str]) -> Vec<Option<String>> {
    names.iter().map(|name| Some((*name).to_owned())).collect()
}

fn asked(cluster: &ScriptedCluster) -> [usize; 4] {
    [1, 2, 3, 4].map(|port| cluster.node(port).state().get_manys.len())
}

#[test]
fn each_key_is_read_once_at_the_primary_of_its_slot() {
    paused(async {
        let cluster = thirds();
        fill(&cluster);
        let shards = reader(&cluster).await;
        let [one, two, three] = PORTS.map(key_at);
        let keys: Arc<[String]> = [three.clone(), one.clone(), two, one, three].into();
        assert_eq!(read(&shards, keys.clone()).await.unwrap(), names(&["3", "1", "2", "1", "3"]));
        assert_eq!(asked(&cluster), [1, 1, 1, 0], "one round trip each");
        assert_eq!(read(&shards, Arc::from([])).await.unwrap(), []);
    });
}

#[test]
fn row_26a_a_key_that_has_moved_is_read_where_it_is() {
    paused(async {
        let cluster = thirds();
        fill(&cluster);
        let shards = reader(&cluster).await;
        let key = key_at(1);
        cluster.node(1).state().redirects.insert(key.clone(), redirect(&key, 2, false));
        assert_eq!(read(&shards, keys()).await.unwrap(), names(&["2", "2", "3"]));
        assert!(cluster.pokes() > 0);
        // The next read knows.
        let before = asked(&cluster)[0];
        assert_eq!(read(&shards, Arc::from([key])).await.unwrap(), names(&["2"]));
        assert_eq!(asked(&cluster)[0], before);
    });
}

/// `MOVED 3999 :7801`
#[test]
fn row_26h_a_redirect_without_a_host_means_the_host_that_was_asked() {
    paused(async {
        let cluster = thirds();
        fill(&cluster);
        let shards = reader(&cluster).await;
        let key = key_at(1);
        let mut moved = redirect(&key, 3, false);
        moved.to.host.clear();
        cluster.node(1).state().redirects.insert(key.clone(), moved);
        assert_eq!(read(&shards, Arc::from([key])).await.unwrap(), names(&["3"]));
    });
}

#[test]
fn row_26a_a_key_that_is_being_moved_is_asked_for_at_a_node_without_slots() {
    paused(async {
        let cluster = thirds();
        fill(&cluster);
        let health = status(Role::Persistent);
        let shards = following(&cluster, &health).await;
        let key = key_at(1);
        cluster.node(1).state().redirects.insert(key.clone(), redirect(&key, 4, true));
        assert_eq!(read(&shards, keys()).await.unwrap(), names(&["4", "2", "3"]));
        assert_eq!(cluster.node(4).state().asked, std::slice::from_ref(&key));
        assert_eq!(read(&shards, Arc::from([key])).await.unwrap(), names(&["4"]));
        // It leaves once it is not needed any more, and never counts for the role.
        assert_eq!(cluster.node(4).open(), 1);
        cluster.node(1).state().redirects.clear();
        sleep(3 * GUEST_FOR).await;
        assert_eq!(cluster.node(4).open(), 0);
        assert!(health.report().up && health.report().down().is_empty());
    });
}

#[test]
fn row_26h_a_key_that_moves_in_a_circle_is_asked_for_a_few_times() {
    paused(async {
        let cluster = thirds();
        fill(&cluster);
        let shards = reader(&cluster).await;
        let key = key_at(1);
        cluster.node(1).state().redirects.insert(key.clone(), redirect(&key, 2, false));
        cluster.node(2).state().redirects.insert(key.clone(), redirect(&key, 1, false));
        let begun = Instant::now();
        assert_eq!(read(&shards, Arc::from([key.clone()])).await, Err(StoreError::Unavailable));
        assert!(begun.elapsed() < SECOND / 2);
        assert_eq!(asked(&cluster).iter().sum::<usize>(), HOPS);
        // It ends with the circle, and others are not affected.
        assert_eq!(read(&shards, Arc::from([key_at(3)])).await.unwrap(), names(&["3"]));
        PORTS.iter().for_each(|port| cluster.node(*port).state().redirects.clear());
        assert!(read(&shards, Arc::from([key])).await.is_ok());
    });
}

#[test]
fn row_26h_a_redirect_to_an_unknown_node_waits_for_the_map() {
    paused(async {
        let cluster = thirds();
        fill(&cluster);
        let shards = reader(&cluster).await;
        let key = key_at(1);
        cluster.node(1).state().redirects.insert(key.clone(), redirect(&key, 4, false));
        let (answer, ()) = tokio::join!(read(&shards, Arc::from([key.clone()])), async {
            sleep(50 * MILLI).await;
            let slot = slot_of(&key);
            cluster.owners(|other| Some(if other == slot { 4 } else { third(other) }));
        });
        assert_eq!(answer.unwrap(), names(&["4"]));
    });
}

/// The map never has that node, and then the fault ends.
#[test]
fn row_26h_a_redirect_to_nowhere_is_forgotten() {
    paused(async {
        let cluster = thirds();
        fill(&cluster);
        let shards = reader(&cluster).await;
        let key: Arc<[String]> = Arc::from([key_at(1)]);
        cluster.node(1).state().redirects.insert(key[0].clone(), redirect(&key[0], 9, false));
        assert_eq!(read(&shards, key.clone()).await, Err(StoreError::TimedOut));
        cluster.node(1).state().redirects.clear();
        sleep(BELIEVED_FOR).await;
        assert_eq!(read(&shards, key.clone()).await.unwrap(), names(&["1"]));
    });
}

#[test]
fn row_26b_a_lost_primary_refuses_only_the_reads_that_need_it() {
    paused(async {
        let cluster = thirds();
        fill(&cluster);
        let health = status(Role::Persistent);
        let shards = following(&cluster, &health).await;
        cluster.node(1).refuse_connects();
        sleep(SECOND).await;
        let begun = Instant::now();
        assert_eq!(read(&shards, keys()).await, Err(StoreError::Unavailable));
        assert_eq!(begun.elapsed(), Duration::ZERO);
        assert_eq!(asked(&cluster), [0; 4], "nobody is asked for a part of an answer");
        let others: Arc<[String]> = [key_at(2), key_at(3)].into();
        assert_eq!(read(&shards, others.clone()).await.unwrap(), names(&["2", "3"]));
        assert_eq!(health.report().down(), ["n:1"]);
        assert!(!health.report().up);

        // A failover.
        cluster.owners(|slot| Some(if third(slot) == 1 { 4 } else { third(slot) }));
        settle().await;
        assert_eq!(read(&shards, keys()).await.unwrap(), names(&["4", "2", "3"]));
        assert!(health.report().up && health.report().down().is_empty());
    });
}

/// A read that waits for a stopped primary goes on at the new one.
#[test]
fn row_26c_reads_in_flight_follow_a_failover() {
    paused(async {
        let cluster = thirds();
        fill(&cluster);
        let shards = reader(&cluster).await;
        cluster.node(1).commands(&Act::Hang);
        let (answer, ()) = tokio::join!(read(&shards, keys()), async {
            sleep(100 * MILLI).await;
            cluster.owners(|slot| Some(if third(slot) == 1 { 4 } else { third(slot) }));
        });
        assert_eq!(answer.unwrap(), names(&["4", "2", "3"]));
        assert_eq!(cluster.node(1).open(), 0, "the old one is not believed any more");
    });
}

#[test]
fn a_slot_without_a_primary_is_waited_for() {
    paused(async {
        let cluster = thirds();
        fill(&cluster);
        let shards = reader(&cluster).await;
        cluster.owners(|slot| Some(third(slot)).filter(|port| *port != 1));
        settle().await;
        assert_eq!(read(&shards, keys()).await, Err(StoreError::TimedOut));
        let others: Arc<[String]> = [key_at(2), key_at(3)].into();
        assert_eq!(read(&shards, others.clone()).await.unwrap(), names(&["2", "3"]));
        let (answer, ()) = tokio::join!(read(&shards, keys()), async {
            sleep(100 * MILLI).await;
            cluster.owners(|slot| Some(third(slot)));
        });
        assert!(answer.is_ok());
    });
}

#[test]
fn a_value_at_fault_is_named_by_its_position_in_the_question() {
    paused(async {
        let cluster = thirds();
        fill(&cluster);
        let shards = reader(&cluster).await;
        cluster.node(3).state().get_many = Act::Fail(BackendError::WrongType);
        let at_fault = |positions: &[usize]| {
            Err(StoreError::AtFault { positions: positions.to_vec(), cause: Box::new(StoreError::BadValue) })
        };
        let [one, two, three] = PORTS.map(key_at);
        assert_eq!(read(&shards, keys()).await, at_fault(&[2]));
        assert_eq!(read(&shards, [one, three.clone(), two, three.clone()].into()).await, at_fault(&[1, 3]));
        assert_eq!(read(&shards, Arc::from([three])).await, Err(StoreError::BadValue));
    });
}

#[test]
fn before_the_topology_is_known_reads_wait_or_are_refused() {
    paused(async {
        let cluster = ScriptedCluster::new(&PORTS);
        fill(&cluster);
        let health = status(Role::Persistent);
        let shards = following(&cluster, &health).await;
        let (answer, ()) = tokio::join!(read(&shards, keys()), async {
            sleep(100 * MILLI).await;
            cluster.owners(|slot| Some(third(slot)));
        });
        assert_eq!(answer.unwrap(), names(&["1", "2", "3"]));
        assert!(health.report().up);
    });
}

/// Row 27, as far as this layer goes: among slots that move and reads that are given up.
#[test]
fn row_27_every_answer_belongs_to_its_question_while_slots_move() {
    paused(async {
        let cluster = thirds();
        for (_, node) in cluster.nodes.iter() {
            for id in 0..500 {
                node.state().values.insert(format!("i:{id}"), id.to_string().into());
            }
            node.commands(&Act::Slow(5 * MILLI));
        }
        let shards = reader(&cluster).await;
        let reads = (0..500_u64).map(|id| {
            let shards = shards.clone();
            async move {
                sleep(id as u32 * MILLI).await;
                let keys: Arc<[String]> = (id..id + 10).map(|id| format!("i:{}", id % 500)).collect();
                let budget = if id % 4 == 0 { 3 * MILLI } else { SECOND };
                (id, shards.get_many(keys, Instant::now() + budget).await)
            }
        });
        let moves = async {
            for turn in 0..50_u16 {
                sleep(10 * MILLI).await;
                cluster.owners(|slot| Some((third(slot) + turn) % 4 + 1));
            }
        };
        let (outcomes, ()) = tokio::join!(join_all(reads), moves);
        let mut answered = 0;
        for (id, outcome) in outcomes {
            let expected: Vec<_> =
                (id..id + 10).map(|id| Some((id % 500).to_string().into_bytes())).collect();
            match outcome {
                Ok(values) => assert_eq!(values, expected),
                Err(error) => assert_eq!((error, id % 4), (StoreError::TimedOut, 0)),
            }
            answered += 1;
        }
        assert_eq!(answered, 500);
    });
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    /// Whatever keys, in whatever order: each value is at its key's place.
    #[test]
    fn every_key_has_its_own_value(ids in proptest::collection::vec(0u32..400, 0..60)) {
        paused(async {
            let cluster = thirds();
            for id in 0..400_u32 {
                let key = format!("i:{id}");
                let port = third(slot_of(&key));
                cluster.node(port).state().values.insert(key, id.to_string().into());
            }
            let shards = reader(&cluster).await;
            let keys: Arc<[String]> = ids.iter().map(|id| format!("i:{id}")).collect();
            let expected: Vec<_> = ids.iter().map(|id| Some(id.to_string())).collect();
            prop_assert_eq!(read(&shards, keys.clone()).await.unwrap(), expected);
            Ok(())
        })?;
    }
}

// ===== cache =====

async fn cache(cluster: &ScriptedCluster) -> Shards<CacheClient> {
    let shards = Shards::new(Arc::new(cluster.clone()));
    let (task, cluster, health) = (shards.clone(), cluster.clone(), status(Role::Cache));
    spawn_local(async move {
        let mut changes = pin!(task.changes());
        while changes.next().await.is_some() {
            task.follow(|shard| {
                let (Shard::Primary(place) | Shard::Guest(place)) = shard else { unreachable!("{shard:?}") };
                let health = LinkHealth::of_shard(health.clone(), &place.to_string());
                let (link, _) = Link::start(cluster.primary(place), LinkPolicy::new(TIMEOUT), health);
                (CacheClient::new(&link, None), vec![link])
            });
        }
    });
    settle().await;
    settle().await;
    shards
}

#[test]
fn scores_are_written_and_read_where_their_slots_are() {
    paused(async {
        let cluster = thirds();
        let shards = cache(&cluster).await;
        let key = key_at(2);
        assert!(!shards.refuses_read(&key) && !shards.refuses_write(&key));
        shards.set(key.clone(), b"3.0".to_vec(), SECOND).await;
        assert_eq!(shards.get(key.clone(), Instant::now() + SECOND).await.unwrap(), Some(b"3.0".to_vec()));
        assert!(cluster.node(2).state().values.contains_key(&key));

        // It moves.
        cluster.node(2).state().redirects.insert(key.clone(), redirect(&key, 3, false));
        assert_eq!(shards.get(key.clone(), Instant::now() + SECOND).await.unwrap(), None);
        shards.set(key.clone(), b"4.0".to_vec(), SECOND).await;
        assert_eq!(shards.get(key.clone(), Instant::now() + SECOND).await.unwrap(), Some(b"4.0".to_vec()));
        assert!(cluster.node(3).state().values.contains_key(&key));
    });
}

#[test]
fn a_lost_primary_refuses_only_its_own_scores() {
    paused(async {
        let cluster = thirds();
        let shards = cache(&cluster).await;
        cluster.node(2).refuse_connects();
        sleep(SECOND).await;
        let refuses = |port| (shards.refuses_read(&key_at(port)), shards.refuses_write(&key_at(port)));
        assert_eq!([refuses(1), refuses(2), refuses(3)], [(false, false), (true, true), (false, false)]);
    });
}

#[test]
fn a_score_that_is_being_moved_is_read_there_and_a_circle_is_a_miss() {
    paused(async {
        let cluster = thirds();
        let shards = cache(&cluster).await;
        let key = key_at(1);
        cluster.node(1).state().redirects.insert(key.clone(), redirect(&key, 2, true));
        cluster.node(2).state().values.insert(key.clone(), b"5.0".to_vec());
        assert_eq!(shards.get(key.clone(), Instant::now() + SECOND).await.unwrap(), Some(b"5.0".to_vec()));
        cluster.node(1).state().redirects.insert(key.clone(), redirect(&key, 2, false));
        cluster.node(2).state().redirects.insert(key.clone(), redirect(&key, 1, false));
        assert!(shards.get(key.clone(), Instant::now() + SECOND).await.is_err());
        shards.set(key, b"6.0".to_vec(), SECOND).await;
    });
}
