//! The dispatcher: admits, authenticates and routes a method call, and enforces its deadline.
//!
//! The contract fixes the order of checks: token, method, arguments. The HTTP layer has checked JSON and envelope
//! before.
//!
//! This actor looks in the near cache, so that a near hit costs no further message.

use std::{sync::Arc, time::Duration};

use actix::prelude::*;
use arc_swap::ArcSwap;
use chrono::{DateTime, NaiveDate, Utc};
use futures_util::FutureExt;
use tokio::{sync::OwnedSemaphorePermit, time::Instant};

use super::{
    active_card::{ActiveCard, CardSwitch},
    card_metrics::Source,
    interests::{InterestsError, LookUpInterests},
    runtime::{ActorReply, Mailbox, NamedActor, Unanswered, handle_sent},
    scoring::{RateScore, Rated},
};
use crate::{
    admission::{Admission, settings::LimitSettings},
    deadline::Deadline,
    domain::{
        Answer, Authenticator, CallError, Caller, ClientsInterests, Defect, Method, MethodRequest,
        OnlineScore, Outage, Partner, Refused, Rules,
    },
    store::{StoreError, settings::StoreSettings},
    wall_clock,
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
    /// The facts about the caller, once the token has been checked.
    pub identity: Identity,
    /// The card and the origin of a score, if one was computed or found.
    pub rated: Option<(Arc<ActiveCard>, Source)>,
}

/// The facts about a caller, for the call's log line and metrics.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Identity {
    /// The caller, if the token matches.
    pub caller: Option<Caller>,
    /// The registered partner that the call names, even if the token does not match.
    pub partner: Option<Arc<Partner>>,
    /// Why the call is refused with 403 or 429.
    pub refused: Option<Refused>,
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
    /// The card in effect, and its near cache. Both are replaced together, for all later calls.
    pub card: CardSwitch,
    /// Admits calls.
    pub admission: Arc<Admission>,
    /// The time limit of a call, from its arrival.
    pub deadline: Duration,
    /// The maximum number of ids in one call of `clients_interests`.
    pub max_client_ids: usize,
    /// The wall clock, for tokens and birthdays.
    pub clock: fn() -> DateTime<Utc>,
}

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
    Score(AskedScore),
    Interests(ClientsInterests),
}

/// A call of `online_score` that passed all checks.
struct AskedScore {
    person: OnlineScore,
    explain: bool,
    today: NaiveDate,
    card: Arc<ActiveCard>,
}

/// A call that is being answered. It counts as in flight until it is dropped.
#[derive(Default)]
struct Call {
    admitted: Option<OwnedSemaphorePermit>,
    context: CallContext,
    identity: Identity,
}

// ===== impl DispatcherPlan =====

impl DispatcherPlan {
    /// The share of `store.deadline` that the dispatcher may use. The rest is for sending the answer.
    const WAITING: (u32, u32) = (19, 20);

    /// The parts of the service's dispatchers.
    pub fn from_settings(
        store: &StoreSettings,
        limits: &LimitSettings,
        authenticator: Arc<ArcSwap<Authenticator>>,
        card: CardSwitch,
        admission: Arc<Admission>,
    ) -> Self {
        Self {
            authenticator,
            card,
            admission,
            deadline: store.deadline * Self::WAITING.0 / Self::WAITING.1,
            max_client_ids: limits.client_ids,
            clock: wall_clock::now,
        }
    }
}

// ===== impl CallContext =====

impl From<Option<usize>> for CallContext {
    fn from(nclients: Option<usize>) -> Self {
        nclients.map_or(Self::Unknown, Self::Clients)
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

    /// Checks a call. Sets `context` and `identity` as soon as they are known, so that the log line of a rejected call has them too.
    fn check(
        &self,
        request: MethodRequest,
        context: &mut CallContext,
        identity: &mut Identity,
    ) -> Result<Checked, CallError> {
        let now = (self.plan.clock)();
        let authenticator = self.plan.authenticator.load();
        let caller = authenticator.check(&request, now).inspect_err(|rejected| {
            identity.refused = Some(rejected.reason);
            identity.partner.clone_from(&rejected.partner);
        })?;
        identity.caller = Some(caller.clone());
        if let Caller::Registered(partner) = &caller {
            identity.partner = Some(partner.clone());
        }
        self.check_rate(&caller, &request).inspect_err(|_| identity.refused = Some(Refused::Rate))?;
        let method = Method::from_name(&request.method)?;
        let (today, max_client_ids) = (authenticator.today(now), self.plan.max_client_ids);
        match method {
            Method::OnlineScore => {
                let card = self.plan.card.load_full();
                let rules = Rules { today, max_client_ids, explain: card.explains() && caller.may_explain() };
                let (read, present) = OnlineScore::parse_and_list(request.arguments, &rules);
                *context = CallContext::Has(present);
                let (person, explain) = read?;
                Ok(match caller {
                    Caller::Admin => Checked::AdminScore,
                    Caller::Partner(_) | Caller::Registered(_) => {
                        Checked::Score(AskedScore { person, explain, today, card })
                    }
                })
            }
            Method::ClientsInterests => {
                let rules = Rules { today, max_client_ids, explain: false };
                *context = ClientsInterests::nclients(&request.arguments).into();
                Ok(Checked::Interests(ClientsInterests::parse(request.arguments, &rules)?))
            }
        }
    }

    /// Only calls with a valid token count: otherwise anyone could use up a partner's rate. The key is the string that
    /// the token is computed from, account and login joined: a caller cannot move letters between the two to count as
    /// another. The admin's calls do not count.
    fn check_rate(&self, caller: &Caller, request: &MethodRequest) -> Result<(), CallError> {
        let admission = &self.plan.admission;
        let checked = match caller {
            Caller::Admin => Ok(()),
            Caller::Partner(_) => admission.check_account(&request.account, &request.login),
            Caller::Registered(partner) => admission.check_partner(partner.joined()),
        };
        checked.map_err(|retry_after| CallError::TooMany { retry_after })
    }

    /// Answers a score from the near cache, or asks the scoring actor.
    fn score(&self, asked: AskedScore, call: Call, deadline: Deadline) -> ActorReply<Handled> {
        let AskedScore { person, explain, today, card } = asked;
        let key = card.near_key(person, today);
        let message = RateScore { key, card, today, explain, deadline };
        if let Some(Rated { answer, source }) = message.near_hit() {
            return ActorReply::Now(call.handled(Ok(answer), Some((message.card, source))));
        }
        let card = message.card.clone();
        let reply = self.scoring.delegate(message, deadline.instant());
        ActorReply::Later(Box::pin(reply.map(|reply| match reply {
            Ok(Rated { answer, source }) => call.handled(Ok(answer), Some((card, source))),
            Err(unanswered) => call.handled(Err(unanswered.into()), None),
        })))
    }

    /// Asks the interests actor.
    fn interests(&self, wanted: &ClientsInterests, call: Call, deadline: Deadline) -> ActorReply<Handled> {
        let clients = wanted.unique_clients();
        let reply = self.interests.delegate(LookUpInterests { clients, deadline }, deadline.instant());
        ActorReply::Later(Box::pin(reply.map(|reply| {
            let outcome = match reply {
                Ok(found) => found.map(Answer::Interests).map_err(|error| to_call_error(&error)),
                Err(Unanswered::Lost) => Err(CallError::Internal(Defect::Actor)),
                // The store may be too slow for the deadline.
                Err(Unanswered::Late) => Err(CallError::Unavailable(Outage::Deadline)),
            };
            call.handled(outcome, None)
        })))
    }
}

// ===== impl Call =====

impl Call {
    fn handled(
        self,
        outcome: Result<Answer, CallError>,
        rated: Option<(Arc<ActiveCard>, Source)>,
    ) -> Handled {
        Handled { outcome, context: self.context, identity: self.identity, rated }
    }
}

impl Actor for DispatcherActor {
    type Context = Context<Self>;
}

impl Supervised for DispatcherActor {}

impl NamedActor for DispatcherActor {
    const NAME: &'static str = "dispatcher";
}

handle_sent!(DispatcherActor: CallMethod);

impl Handler<CallMethod> for DispatcherActor {
    type Result = ActorReply<Handled>;

    fn handle(&mut self, msg: CallMethod, _: &mut Self::Context) -> Self::Result {
        let deadline = Deadline::after(msg.received, self.plan.deadline);
        let mut call = Call::default();
        match self.plan.admission.admit(deadline) {
            Ok(admitted) => call.admitted = Some(admitted),
            Err(outage) => return ActorReply::Now(call.handled(Err(CallError::Unavailable(outage)), None)),
        }
        match self.check(msg.request, &mut call.context, &mut call.identity) {
            Err(refused) => ActorReply::Now(call.handled(Err(refused), None)),
            Ok(Checked::AdminScore) => ActorReply::Now(call.handled(Ok(Answer::AdminScore), None)),
            Ok(Checked::Score(asked)) => self.score(asked, call, deadline),
            Ok(Checked::Interests(wanted)) => self.interests(&wanted, call, deadline),
        }
    }
}

/// For a message to an actor that answers well before the deadline, unless it is restarting or stuck.
impl From<Unanswered> for CallError {
    fn from(unanswered: Unanswered) -> Self {
        match unanswered {
            Unanswered::Lost => Self::Internal(Defect::Actor),
            Unanswered::Late => Self::Unavailable(Outage::Actor),
        }
    }
}

/// The error for the caller. The store counts and logs an outage; a bad value is only known here.
fn to_call_error(error: &InterestsError) -> CallError {
    match error {
        InterestsError::Malformed { source, .. } => {
            tracing::error!(%error, %source, "bad value in the store");
            CallError::Internal(Defect::MalformedValue)
        }
        InterestsError::AtFault { source, .. } => {
            tracing::error!(%error, %source, "bad value in the store");
            CallError::Internal(Defect::MalformedValue)
        }
        InterestsError::Store(
            StoreError::BadValue
            | StoreError::CrossSlot
            | StoreError::TooLarge
            | StoreError::Damaged(_)
            | StoreError::AtFault { .. },
        ) => {
            tracing::error!(%error, "bad value in the store");
            CallError::Internal(Defect::MalformedValue)
        }
        InterestsError::Store(StoreError::Unavailable) => CallError::Unavailable(Outage::StoreDown),
        InterestsError::Store(StoreError::TimedOut) => CallError::Unavailable(Outage::Deadline),
        InterestsError::Lost => CallError::Unavailable(Outage::Actor),
    }
}

#[cfg(test)]
mod tests;
