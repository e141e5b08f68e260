//! The dispatcher: admits, authenticates and routes a method call, and owns its deadline.
//!
//! The order of checks is the contract's: token, method, arguments. JSON and envelope were checked on the way in.

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
    /// The call, its token unchecked.
    pub request: MethodRequest,
    /// When it had arrived in full. Its deadline counts from here.
    pub received: Instant,
}

/// What came of a call, and what there is to say about it in the log.
#[derive(Debug)]
pub struct Handled {
    /// The answer, or why there is none.
    pub outcome: Result<Answer, CallError>,
    /// Known once the arguments have been read.
    pub context: CallContext,
}

/// What a call's log line says about its arguments. Never their values.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum CallContext {
    /// The call was refused before its arguments were looked at, or they have nothing to count.
    #[default]
    Unknown,
    /// `online_score`: the names of the arguments that are not empty.
    Has(Vec<&'static str>),
    /// `clients_interests`: how many ids were given.
    Clients(usize),
}

/// What a [`DispatcherActor`] is built from.
#[derive(Debug, Clone)]
pub struct DispatcherPlan {
    /// Judges tokens. Another one may take its place at any time, for all calls that come after.
    pub authenticator: Arc<ArcSwap<Authenticator>>,
    /// One permit for each call that may be in flight, shared by all workers.
    pub admission: Arc<Semaphore>,
    /// How often each account may call, if that is limited.
    pub account_rate: Option<Arc<RateLimit>>,
    /// Where calls that are refused by admission, or for their rate, are counted.
    pub shed: ShedCalls,
    /// How long a call may take from its arrival.
    pub deadline: Duration,
    /// The most ids in one call of `clients_interests`.
    pub max_client_ids: usize,
    /// The wall clock, for tokens and birthdays.
    pub clock: fn() -> DateTime<Utc>,
}

/// Counts calls that were refused before any work was done on them, by the reason. Clones share the counts.
///
/// A call whose caller had given up waiting before the dispatcher came to it is not seen here: actix drops its message.
#[derive(Debug, Clone)]
pub struct ShedCalls(IntCounterVec);

/// Answers [`CallMethod`]. Holds no state of its own.
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

/// Why a call was refused that was nothing wrong with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shed {
    /// Too many are in flight.
    Overload,
    /// It came too late.
    Deadline,
    /// Its account calls too often.
    AccountRate,
    /// Its client address calls too often.
    AddressRate,
    /// Other calls' bodies have taken all the memory that there is for them.
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
    /// Makes the counter and registers it.
    ///
    /// # Errors
    ///
    /// If it is registered already.
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

    /// Checks a call, and notes what its log line says as soon as that is known: also of a call that is then refused.
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

    /// Only calls whose token matched count, or else anybody could use up a partner's rate. And what counts is what the token
    /// is made of, account and login in one: no caller can move letters between the two and be another.
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

/// A call that came too late, or while too many others are in flight, costs no more than this.
fn admit(admission: &Arc<Semaphore>, deadline: Deadline) -> Result<OwnedSemaphorePermit, Shed> {
    if deadline.has_passed(tokio::time::Instant::now().into_std()) {
        return Err(Shed::Deadline);
    }
    admission.clone().try_acquire_owned().map_err(|_| Shed::Overload)
}

/// Waits for a peer, which may be stuck or fall while it handles the message.
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

/// What the caller is told. An outage is counted and logged by the store; a bad value is known here only.
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
            StoreError::BadValue | StoreError::CrossSlot | StoreError::TooLarge | StoreError::AtFault { .. },
        ) => {
            tracing::error!(%error, "bad value in the store");
            CallError::Internal
        }
        InterestsError::Store(StoreError::Unavailable | StoreError::TimedOut) => CallError::Unavailable,
    }
}

#[cfg(test)]
mod tests;
