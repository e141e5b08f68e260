//! The scoring actor: computes the score of a person's data.
//!
//! A score is a pure function of the request, so the store is only a cache here: even when the store fails, the score
//! is computed and correct. No function in this file can fail.
//!
//! This actor, not the cache actor, looks in the near cache, so that a near hit costs no message.

use std::time::Duration;

use actix::prelude::*;
use tokio::time::Instant;

use super::{
    cache_store::{CacheGet, CachePut},
    near_cache::NearCache,
    runtime::{
        NamedActor,
        mailbox::{ActorReply, Mailbox, handle_sent},
    },
};
use crate::{
    deadline::Deadline,
    domain::{OnlineScore, Score, cache_key},
};

/// Asks for the score of a person's data.
#[derive(Debug, Message)]
#[rtype(result = "Score")]
pub struct RateScore {
    /// The person's data.
    pub request: OnlineScore,
    /// When the answer becomes useless.
    pub deadline: Deadline,
}

/// Answers [`RateScore`] from the near cache, else from the cache, else by computing.
///
/// Has no state of its own, because the near cache belongs to the process: the actor can be restarted at any time.
#[derive(Debug)]
pub struct ScoringActor {
    near: NearCache,
    cache_get: Mailbox<CacheGet>,
    cache_put: Mailbox<CachePut>,
    cache_timeout: Duration,
}

// ===== impl ScoringActor =====

impl ScoringActor {
    /// An actor that waits at most `cache_timeout` for the cache.
    pub fn new(
        near: NearCache,
        cache_get: Mailbox<CacheGet>,
        cache_put: Mailbox<CachePut>,
        cache_timeout: Duration,
    ) -> Self {
        Self { near, cache_get, cache_put, cache_timeout }
    }
}

impl Actor for ScoringActor {
    type Context = Context<Self>;
}

impl Supervised for ScoringActor {}

impl NamedActor for ScoringActor {
    const NAME: &'static str = "scoring";
}

handle_sent!(ScoringActor: RateScore);

impl Handler<RateScore> for ScoringActor {
    type Result = ActorReply<Score>;

    fn handle(&mut self, msg: RateScore, _: &mut Self::Context) -> Self::Result {
        if let Some(score) = self.near.get(&msg.request) {
            return ActorReply::Now(score);
        }
        let key = cache_key(&msg.request);
        let deadline = Deadline::after(Instant::now(), self.cache_timeout).earlier(msg.deadline);
        // The store limits its own time; this limit is for a store actor that is stuck or being restarted.
        let cached = self.cache_get.ask(CacheGet { key: key.clone(), deadline }, deadline);
        let (near, cache_put) = (self.near.clone(), self.cache_put.clone());
        ActorReply::Later(Box::pin(async move {
            if let Ok(Some(score)) = cached.await {
                near.keep(msg.request, score);
                return score;
            }
            let score = Score::compute(&msg.request);
            cache_put.do_send(CachePut { key, score, deadline: msg.deadline });
            near.keep(msg.request, score);
            score
        }))
    }
}

#[cfg(test)]
mod tests;
