//! The interests actor: looks up the interests of clients.
//!
//! Interests are persistent data. Unlike a score they cannot be computed again, so a store that cannot answer is an
//! error here, never an empty list.

use std::fmt;

use actix::prelude::*;

use super::{
    persistent_store::GetMany,
    runtime::{Mailbox, NamedActor, Unanswered, handle_sent},
};
use crate::{
    deadline::Deadline,
    domain::{ClientId, InterestsByClient, MalformedInterests},
    store::StoreError,
};

/// Asks for the interests of every client in `clients`, in one question to the store.
#[derive(Debug, Message)]
#[rtype(result = "Result<InterestsByClient, InterestsError>")]
pub struct LookUpInterests {
    /// The clients, each once.
    pub clients: Vec<ClientId>,
    /// When the answer becomes useless.
    pub deadline: Deadline,
}

/// The reason why interests could not be read.
#[derive(Debug, thiserror::Error)]
pub enum InterestsError {
    /// A stored value is not a JSON array of strings. A retry cannot help.
    #[error("stored interests of client {client} are malformed")]
    Malformed {
        /// The client.
        client: ClientId,
        /// The fault.
        source: MalformedInterests,
    },
    /// The question or a stored value is at fault, not the store. A retry cannot help.
    #[error("interests of {} cannot be read", Named(.clients))]
    AtFault {
        /// The clients at fault; all requested clients, if they are not known.
        clients: Vec<ClientId>,
        /// The fault.
        source: StoreError,
    },
    /// The store did not answer.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The store's actor restarted over the question. A retry may succeed.
    #[error("the store's actor is restarting")]
    Lost,
}

/// Clients by their ids, as many as fit in a log line.
struct Named<'a>(&'a [ClientId]);

/// Maximum clients in one log line.
const NAMED: usize = 10;

impl fmt::Display for Named<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.len() == 1 { "client" } else { "clients" })?;
        for (at, client) in self.0.iter().take(NAMED).enumerate() {
            write!(f, "{}{client}", if at == 0 { " " } else { ", " })?;
        }
        match self.0.len().saturating_sub(NAMED) {
            0 => Ok(()),
            more => write!(f, " and {more} more"),
        }
    }
}

/// Answers [`LookUpInterests`] from the persistent half of the store.
///
/// Has no state of its own: it can be restarted at any time.
#[derive(Debug)]
pub struct InterestsActor {
    store: Mailbox<GetMany>,
}

// ===== impl InterestsActor =====

impl InterestsActor {
    /// An actor that reads from `store`.
    pub fn new(store: Mailbox<GetMany>) -> Self {
        Self { store }
    }
}

impl Actor for InterestsActor {
    type Context = Context<Self>;
}

impl Supervised for InterestsActor {}

impl NamedActor for InterestsActor {
    const NAME: &'static str = "interests";
}

handle_sent!(InterestsActor: LookUpInterests);

impl Handler<LookUpInterests> for InterestsActor {
    type Result = ResponseFuture<<LookUpInterests as Message>::Result>;

    fn handle(&mut self, msg: LookUpInterests, _: &mut Self::Context) -> Self::Result {
        let keys = msg.clients.iter().map(ClientId::key).collect();
        let reply = self.store.delegate(GetMany { keys, deadline: msg.deadline }, msg.deadline.instant());
        Box::pin(async move {
            let values = match reply.await {
                Ok(Ok(values)) => values,
                Ok(Err(error)) => return Err(with_clients(&msg.clients, error)),
                // A store actor that restarts drops the messages in flight. For a reader that is an outage.
                Err(Unanswered::Lost) => return Err(InterestsError::Lost),
                Err(Unanswered::Late) => return Err(StoreError::TimedOut.into()),
            };
            InterestsByClient::from_stored(&msg.clients, &values)
                .map_err(|(client, source)| InterestsError::Malformed { client, source })
        })
    }
}

/// The store reports positions of keys; the operator needs clients.
fn with_clients(clients: &[ClientId], error: StoreError) -> InterestsError {
    match error {
        StoreError::AtFault { positions, cause } => {
            let clients = positions.iter().filter_map(|&at| clients.get(at)).copied().collect();
            InterestsError::AtFault { clients, source: *cause }
        }
        StoreError::BadValue | StoreError::CrossSlot | StoreError::TooLarge | StoreError::Damaged(_)
            if clients.len() == 1 =>
        {
            InterestsError::AtFault { clients: clients.to_vec(), source: error }
        }
        StoreError::BadValue
        | StoreError::CrossSlot
        | StoreError::TooLarge
        | StoreError::Damaged(_)
        | StoreError::Unavailable
        | StoreError::TimedOut => error.into(),
    }
}

#[cfg(test)]
mod tests;
