//! The scoring actor: computes the score of a person's data.
//!
//! A score is a pure function of the request, so the store is only a cache here: even when the store fails, the score
//! is computed and correct. No function in this file can fail.

use std::{sync::Arc, time::Duration};

use actix::prelude::*;
use chrono::NaiveDate;
use futures_util::FutureExt;
use tokio::time::Instant;

use super::{
    active_card::ActiveCard,
    cache_store::{CacheGet, CachePut},
    card_metrics::Source,
    near_cache::NearKey,
    runtime::{ActorReply, Mailbox, NamedActor, handle_sent},
};
use crate::{deadline::Deadline, domain::Answer};

/// Asks for the score of a person's data.
#[derive(Debug, Message)]
#[rtype(result = "Rated")]
pub struct RateScore {
    /// The person's data and age.
    pub key: NearKey,
    /// The card in effect when the call arrived.
    pub card: Arc<ActiveCard>,
    /// The day for which the score is asked.
    pub today: NaiveDate,
    /// Whether to give the reasons.
    pub explain: bool,
    /// When the answer becomes useless.
    pub deadline: Deadline,
}

/// The answer to a [`RateScore`].
#[derive(Debug, Clone, PartialEq)]
pub struct Rated {
    /// The score, with its reasons if they were asked for.
    pub answer: Answer,
    /// The origin of the score.
    pub source: Source,
}

/// Answers [`RateScore`] from the cache, else by computing.
///
/// Has no state of its own, because card and near cache belong to the process: the actor can be restarted at any time.
#[derive(Debug)]
pub struct ScoringActor {
    cache_get: Mailbox<CacheGet>,
    cache_put: Mailbox<CachePut>,
    cache_timeout: Duration,
}

// ===== impl RateScore =====

impl RateScore {
    /// The answer, if the near cache has it: then the actor need not be asked.
    pub fn near_hit(&self) -> Option<Rated> {
        if self.explain {
            return None;
        }
        let score = self.card.near_hit(&self.key, self.today)?;
        Some(Rated { answer: Answer::Score(score), source: Source::Near })
    }
}

// ===== impl ScoringActor =====

impl ScoringActor {
    /// An actor that waits at most `cache_timeout` for the cache.
    pub fn new(cache_get: Mailbox<CacheGet>, cache_put: Mailbox<CachePut>, cache_timeout: Duration) -> Self {
        Self { cache_get, cache_put, cache_timeout }
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
    type Result = ActorReply<Rated>;

    fn handle(&mut self, msg: RateScore, _: &mut Self::Context) -> Self::Result {
        let RateScore { key: near, card: active, today, explain, deadline: budget } = msg;
        if explain {
            let answer = Answer::Explained(active.explain(&near.person, today));
            return ActorReply::Now(Rated { answer, source: Source::Computed });
        }
        let key = active.card().cache_key(&near.person, today);
        let deadline = Deadline::after(Instant::now(), self.cache_timeout).earlier(budget);
        // The store limits its own time; this limit is for a store actor that is stuck or being restarted.
        let cached = self.cache_get.delegate(CacheGet { key: key.clone(), deadline }, deadline.instant());
        let cache_put = self.cache_put.clone();
        ActorReply::Later(Box::pin(cached.map(move |cached| {
            let (score, source) = if let Ok(Some(score)) = cached {
                (score, Source::Cache)
            } else {
                let score = active.card().score(&near.person, today);
                cache_put.do_send(CachePut { key, score, deadline: budget });
                (score, Source::Computed)
            };
            active.count(&near.person, today, score, source);
            active.near().keep(near, score);
            Rated { answer: Answer::Score(score), source }
        })))
    }
}

#[cfg(test)]
mod tests;
