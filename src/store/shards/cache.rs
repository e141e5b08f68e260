//! Requests to the cache, each of which has one key.

use std::time::Duration;

use tokio::time::Instant;

use super::{HOPS, Route, Shards};
use crate::store::{BackendError, CacheClient, slot_of};

impl Shards<CacheClient> {
    /// Whether a read of `key` would be rejected at once.
    pub fn refuses_read(&self, key: &str) -> bool {
        self.client(slot_of(key), &Route::Owner).is_none_or(|client| {
            let refuses = client.client.refuses_reads();
            if refuses {
                self.0.cluster.poke();
            }
            refuses
        })
    }

    /// Whether a write of `key` would be rejected at once. If so, it is counted as rejected.
    pub fn refuses_write(&self, key: &str) -> bool {
        self.client(slot_of(key), &Route::Owner).is_none_or(|client| client.client.refuses_write())
    }

    /// Reads `key`, by `deadline` at the latest.
    ///
    /// # Errors
    ///
    /// As [`CacheClient::get`].
    pub async fn get(&self, key: String, deadline: Instant) -> Result<Option<Vec<u8>>, BackendError> {
        let slot = slot_of(&key);
        let mut route = Route::Owner;
        for _ in 0..HOPS {
            let Some(client) = self.client(slot, &route) else { break };
            let asked = match &route {
                Route::Owner => client.client.get(key.clone(), deadline).await,
                Route::Asking(_) => client.client.get_asking(key.clone(), deadline).await,
            };
            match asked {
                Err(BackendError::Redirected(redirect)) => route = self.learn(*redirect, &client.place),
                answer => {
                    if answer.is_err() {
                        self.0.cluster.poke();
                    }
                    return answer;
                }
            }
        }
        Err(BackendError::Disconnected(std::io::ErrorKind::NotConnected))
    }

    /// Writes `key` once, at the node that has it. A write to a slot that is being moved is dropped.
    pub async fn set(&self, key: String, value: Vec<u8>, ttl: Duration) {
        let slot = slot_of(&key);
        for _ in 0..HOPS {
            let Some(client) = self.client(slot, &Route::Owner) else { return };
            let Some(redirect) = client.client.set(key.clone(), value.clone(), ttl).await else { return };
            if self.learn(*redirect, &client.place) != Route::Owner {
                return;
            }
        }
    }
}
