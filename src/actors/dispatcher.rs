//! The dispatcher: admits, authenticates and routes a method call, and enforces its deadline.
//!
//! The contract fixes the order of checks: token, method, arguments. The HTTP layer has checked JSON and envelope
//! before.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use actix::prelude::*;
use arc_swap::ArcSwap;
use chrono::{DateTime, Utc};
use futures_util::future::{LocalBoxFuture, ready};
use prometheus::{IntCounterVec, Opts, Registry};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout_at,
};

use super::{
    interests::{InterestsError, LookUpInterests},
    mailbox::{Mailbox, Reply, handle_sent},
    rates::RateLimit,
    scoring::RateScore,
};
use crate::{
    domain::{
        Answer, Authenticator, CallError, Caller, ClientsInterests, Deadline, Method, MethodRequest,
        OnlineScore, Rules,
    },
    store::StoreError,
};

/// Asks for the answer to a method call.
#[derive(Debug, Message)]
#[rtype(result = "Handled")]
pub struct CallMethod {
    /// The call. Its token has not been checked.
    pub request: MethodRequest,
    /// When the whole call had arrived. Its deadline counts from here.
    pub received: Instant,
}

/// The outcome of a call, and the fields of its log line.
#[derive(Debug)]
pub struct Handled {
    /// The answer, or the error.
    pub outcome: Result<Answer, CallError>,
    /// Known once the arguments have been read.
    pub context: CallContext,
}

/// What a call's log line contains about its arguments. Never their values.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum CallContext {
    /// The call was rejected before its arguments were read, or the method's arguments have nothing to count.
    #[default]
    Unknown,
    /// `online_score`: the names of the arguments that are not empty.
    Has(Vec<&'static str>),
    /// `clients_interests`: the number of ids.
    Clients(usize),
}

/// The parts of a [`DispatcherActor`].
#[derive(Debug, Clone)]
pub struct DispatcherPlan {
    /// Checks tokens. It can be replaced at any time, for all later calls.
    pub authenticator: Arc<ArcSwap<Authenticator>>,
    /// One permit for each call that may be in flight, shared by all workers.
    pub admission: Arc<Semaphore>,
    /// The rate limit of each account, if there is one.
    pub account_rate: Option<Arc<RateLimit>>,
    /// Counts the calls that are shed by admission or by the rate limit.
    pub shed: ShedCalls,
    /// The time limit of a call, from its arrival.
    pub deadline: Duration,
    /// The maximum number of ids in one call of `clients_interests`.
    pub max_client_ids: usize,
    /// The wall clock, for tokens and birthdays.
    pub clock: fn() -> DateTime<Utc>,
}

/// Counts shed calls, by reason: calls that were rejected before any work was done on them. Clones share the counts.
///
/// A call whose caller had given up before the dispatcher read it is not counted: actix drops its message.
#[derive(Debug, Clone)]
pub struct ShedCalls(IntCounterVec);

/// Answers [`CallMethod`]. Has no state.
#[derive(Debug)]
pub struct DispatcherActor {
    plan: DispatcherPlan,
    scoring: Mailbox<RateScore>,
    interests: Mailbox<LookUpInterests>,
}

/// A call that passed all checks.
enum Checked {
    AdminScore,
    Score(OnlineScore),
    Interests(ClientsInterests),
}

/// Why a valid call was rejected without being processed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shed {
    /// Too many calls are in flight.
    Overload,
    /// Its deadline had passed.
    Deadline,
    /// Its account calls too often.
    AccountRate,
    /// Its client address calls too often.
    AddressRate,
    /// The bodies of other calls use the whole memory budget.
    BodyMemory,
}

// ===== impl CallContext =====

impl From<Option<usize>> for CallContext {
    fn from(nclients: Option<usize>) -> Self {
        nclients.map_or(Self::Unknown, Self::Clients)
    }
}

// ===== impl ShedCalls =====

impl ShedCalls {
    /// Creates and registers the counter.
    ///
    /// # Errors
    ///
    /// If it is already registered.
    pub fn register(registry: &Registry) -> prometheus::Result<Self> {
        let shed = IntCounterVec::new(
            Opts::new(
                "scoring_requests_shed_total",
                "Calls refused before any work: too many in flight (overload), come too late (deadline), no memory left for \
                 their bodies (body_memory), or more often than allowed (account_rate, address_rate).",
            ),
            &["reason"],
        )?;
        for reason in Shed::ALL {
            shed.with_label_values(&[reason.as_str()]);
        }
        registry.register(Box::new(shed.clone()))?;
        Ok(Self(shed))
    }

    /// Counts a call.
    pub fn count(&self, shed: Shed) {
        self.0.with_label_values(&[shed.as_str()]).inc();
    }
}

impl Shed {
    const ALL: [Self; 5] =
        [Self::Overload, Self::Deadline, Self::AccountRate, Self::AddressRate, Self::BodyMemory];

    fn as_str(self) -> &'static str {
        match self {
            Self::Overload => "overload",
            Self::Deadline => "deadline",
            Self::AccountRate => "account_rate",
            Self::AddressRate => "address_rate",
            Self::BodyMemory => "body_memory",
        }
    }
}

// ===== impl DispatcherActor =====

impl DispatcherActor {
    /// A dispatcher that routes to these peers.
    pub fn new(
        plan: DispatcherPlan,
        scoring: Mailbox<RateScore>,
        interests: Mailbox<LookUpInterests>,
    ) -> Self {
        Self { plan, scoring, interests }
    }

    /// Checks a call. Sets `context` as soon as it is known, so that the log line of a rejected call has it too.
    fn check(&self, request: MethodRequest, context: &mut CallContext) -> Result<Checked, CallError> {
        let now = (self.plan.clock)();
        let authenticator = self.plan.authenticator.load();
        let caller = authenticator.check(&request, now)?;
        if caller == Caller::Partner {
            self.check_rate(&request)?;
        }
        let method = Method::from_name(&request.method)?;
        let rules = Rules { today: authenticator.today(now), max_client_ids: self.plan.max_client_ids };
        match method {
            Method::OnlineScore => {
                let (person, present) = OnlineScore::parse_and_list(request.arguments, &rules);
                *context = CallContext::Has(present);
                let person = person?;
                Ok(match caller {
                    Caller::Admin => Checked::AdminScore,
                    Caller::Partner => Checked::Score(person),
                })
            }
            Method::ClientsInterests => {
                *context = ClientsInterests::nclients(&request.arguments).into();
                Ok(Checked::Interests(ClientsInterests::parse(request.arguments, &rules)?))
            }
        }
    }

    /// Only calls with a valid token count: otherwise anyone could use up a partner's rate. The key is the string that
    /// the token is computed from, account and login joined: a caller cannot move letters between the two to count as
    /// another.
    fn check_rate(&self, request: &MethodRequest) -> Result<(), CallError> {
        let Some(limit) = &self.plan.account_rate else { return Ok(()) };
        limit.check(&[request.account.as_str(), &request.login].concat()).map_err(|retry_after| {
            self.plan.shed.count(Shed::AccountRate);
            CallError::TooMany { retry_after }
        })
    }

    /// Sends a checked call to the actor that answers it.
    fn route(&self, call: Checked, deadline: Deadline) -> LocalBoxFuture<'static, Result<Answer, CallError>> {
        match call {
            Checked::AdminScore => Box::pin(ready(Ok(Answer::AdminScore))),
            Checked::Score(request) => {
                let reply = self.scoring.send(RateScore { request, deadline });
                Box::pin(async move { Ok(Answer::Score(within(deadline, reply).await?)) })
            }
            Checked::Interests(wanted) => {
                let reply =
                    self.interests.send(LookUpInterests { clients: wanted.unique_clients(), deadline });
                Box::pin(async move {
                    let found = within(deadline, reply).await?;
                    found.map(Answer::Interests).map_err(|error| refuse(&error))
                })
            }
        }
    }
}

impl Actor for DispatcherActor {
    type Context = Context<Self>;
}

impl Supervised for DispatcherActor {}

handle_sent!(DispatcherActor: CallMethod => "dispatcher");

impl Handler<CallMethod> for DispatcherActor {
    type Result = Reply<Handled>;

    fn handle(&mut self, msg: CallMethod, _: &mut Self::Context) -> Self::Result {
        let deadline = Deadline::after(msg.received, self.plan.deadline);
        let admitted = match admit(&self.plan.admission, deadline) {
            Ok(permit) => permit,
            Err(shed) => {
                self.plan.shed.count(shed);
                let outcome = Err(CallError::Unavailable);
                return Reply::Now(Handled { outcome, context: CallContext::Unknown });
            }
        };
        let mut context = CallContext::Unknown;
        match self.check(msg.request, &mut context) {
            Err(refused) => Reply::Now(Handled { outcome: Err(refused), context }),
            Ok(call) => {
                let answer = self.route(call, deadline);
                Reply::Later(Box::pin(async move {
                    let outcome = answer.await;
                    drop(admitted);
                    Handled { outcome, context }
                }))
            }
        }
    }
}

/// Rejects a call that is too late, or that comes while too many others are in flight, at no further cost.
fn admit(admission: &Arc<Semaphore>, deadline: Deadline) -> Result<OwnedSemaphorePermit, Shed> {
    if deadline.has_passed(tokio::time::Instant::now().into_std()) {
        return Err(Shed::Deadline);
    }
    admission.clone().try_acquire_owned().map_err(|_| Shed::Overload)
}

/// Waits for a peer, which may get stuck or panic while it handles the message.
async fn within<T>(
    deadline: Deadline,
    reply: impl Future<Output = Result<T, MailboxError>>,
) -> Result<T, CallError> {
    match timeout_at(deadline.instant().into(), reply).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(_)) => Err(CallError::Internal),
        Err(_) => Err(CallError::Unavailable),
    }
}

/// The error for the caller. The store counts and logs an outage; a bad value is only known here.
fn refuse(error: &InterestsError) -> CallError {
    match error {
        InterestsError::Malformed { source, .. } => {
            tracing::error!(%error, %source, "bad value in the store");
            CallError::Internal
        }
        InterestsError::AtFault { source, .. } => {
            tracing::error!(%error, %source, "bad value in the store");
            CallError::Internal
        }
        InterestsError::Store(
            StoreError::BadValue
            | StoreError::CrossSlot
            | StoreError::TooLarge
            | StoreError::Damaged(_)
            | StoreError::AtFault { .. },
        ) => {
            tracing::error!(%error, "bad value in the store");
            CallError::Internal
        }
        InterestsError::Store(StoreError::Unavailable | StoreError::TimedOut) => CallError::Unavailable,
    }
}

#[cfg(test)]
mod tests;
