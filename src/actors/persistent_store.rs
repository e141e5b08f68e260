//! The persistent actor: reads stored data that cannot be computed again.

use std::sync::Arc;

use actix::prelude::*;

use super::{
    links::{self, Keepers, RolePlan},
    runtime::{NamedActor, handle_sent},
};
use crate::{
    deadline::Deadline,
    store::{
        Connector, Link, LinkPolicy, PersistentReader, Shard, Shards, StoreError, StoreHealth,
        settings::StoreSettings,
    },
};

/// Asks for the persistent values of all `keys`, in their order, in one question.
#[derive(Debug, Message)]
#[rtype(result = "Result<Vec<Option<Vec<u8>>>, StoreError>")]
pub struct GetMany {
    /// The keys to read.
    pub keys: Arc<[String]>,
    /// When the answer becomes useless.
    pub deadline: Deadline,
}

/// The parts of a [`PersistentStoreActor`], used at the start and after each restart.
#[derive(Debug, Clone)]
pub struct PersistentStorePlan {
    /// Its links.
    pub role: RolePlan,
    /// The maximum number of attempts of a read.
    pub attempts: usize,
}

/// See the [module](self).
#[derive(Debug)]
pub struct PersistentStoreActor {
    plan: PersistentStorePlan,
    requests: Requests,
    keepers: Keepers,
    /// Held so that the links end with the actor.
    _links: Vec<Link>,
}

/// Sends the reads to one server, or to those of a cluster.
#[derive(Debug, Clone)]
enum Requests {
    One(PersistentReader),
    Cluster(Shards<PersistentReader>),
}

// ===== impl PersistentStorePlan =====

impl PersistentStorePlan {
    /// The parts for a store behind `connector`.
    pub fn from_settings(
        settings: &StoreSettings,
        connector: Arc<dyn Connector>,
        health: Arc<StoreHealth>,
    ) -> Self {
        let policy = LinkPolicy::new(settings.timeout);
        Self { role: RolePlan { connector, policy, health }, attempts: settings.attempts }
    }

    fn reader(&self, shard: Shard<'_>, keepers: &mut Keepers) -> (PersistentReader, Vec<Link>) {
        let links = self.role.links(shard, keepers);
        (PersistentReader::new(&links, self.attempts), links)
    }
}

// ===== impl PersistentStoreActor =====

impl PersistentStoreActor {
    /// An actor with links of its own, which start to connect at once. It does not wait for the store.
    pub fn new(plan: PersistentStorePlan) -> Self {
        let mut keepers = Keepers::default();
        let (requests, links) = match plan.role.connector.cluster() {
            Some(cluster) => (Requests::Cluster(Shards::new(cluster)), Vec::new()),
            None => {
                let (reader, links) = plan.reader(Shard::Unknown, &mut keepers);
                (Requests::One(reader), links)
            }
        };
        Self { requests, plan, keepers, _links: links }
    }

    /// Has a reader for each primary.
    fn follow(&mut self, ctx: &mut Context<Self>) {
        if let Requests::Cluster(shards) = &self.requests {
            let mut keepers = Keepers::default();
            shards.follow(|shard| self.plan.reader(shard, &mut keepers));
            keepers.join(self, ctx);
        }
    }
}

impl Actor for PersistentStoreActor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        std::mem::take(&mut self.keepers).join(self, ctx);
        if let Requests::Cluster(shards) = &self.requests {
            links::follow(shards, ctx, Self::follow);
        }
    }
}

impl Supervised for PersistentStoreActor {
    fn restarting(&mut self, _: &mut Self::Context) {
        *self = Self::new(self.plan.clone());
    }
}

impl NamedActor for PersistentStoreActor {
    const NAME: &'static str = "persistent_store";
}

handle_sent!(PersistentStoreActor: GetMany);

impl Handler<GetMany> for PersistentStoreActor {
    type Result = ResponseFuture<<GetMany as Message>::Result>;

    fn handle(&mut self, msg: GetMany, _: &mut Self::Context) -> Self::Result {
        let requests = self.requests.clone();
        Box::pin(async move {
            let deadline = msg.deadline.instant();
            match requests {
                Requests::One(reader) => reader.get_many(msg.keys, deadline).await,
                Requests::Cluster(shards) => shards.get_many(msg.keys, deadline).await,
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::Instant;

    use super::*;
    use crate::{
        store::{
            LinkPolicy, Role,
            testing::{Act, Script, every_error, status},
        },
        testing::{paused, settle},
    };

    async fn read(script: &Script, budget: Duration) -> <GetMany as Message>::Result {
        let role = RolePlan {
            connector: script.connector(),
            policy: LinkPolicy::new(Duration::from_millis(100)),
            health: status(Role::Persistent),
        };
        let address = PersistentStoreActor::new(PersistentStorePlan { role, attempts: 3 }).start();
        settle().await;
        let deadline = Deadline::after(Instant::now(), budget);
        address.send(GetMany { keys: Arc::from(["i:1".to_owned()]), deadline }).await.unwrap()
    }

    #[test]
    fn a_read_is_not_sent_after_its_deadline() {
        paused(async {
            let script = Script::default();
            assert_eq!(read(&script, Duration::ZERO).await, Err(StoreError::TimedOut));
            assert!(script.state().get_manys.is_empty());
        });
    }

    #[test]
    fn every_failure_of_a_persistent_read_is_told() {
        for error in every_error() {
            paused(async {
                let script = Script::default();
                script.state().get_many = Act::Fail(error.clone());
                let outcome = read(&script, Duration::from_secs(1)).await;
                assert_eq!(outcome, Err(StoreError::from(&error)));
            });
        }
    }
}
