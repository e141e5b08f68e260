//! Redis Sentinel: which server is the primary.
//!
//! One thread for each URL asks all sentinels again and again. A sentinel that was away names an old primary, which says
//! itself that it is one. So the claim with the greatest configuration epoch counts, and a smaller epoch than before counts
//! only if most sentinels have it.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use futures_util::{
    FutureExt,
    future::{join, join_all},
};
use redis::{Cmd, Value, cmd, from_redis_value};
use tokio::{
    select,
    sync::watch,
    time::{Instant, sleep, timeout, timeout_at},
};

use super::{
    connect::RedisConnector,
    connection::{Commands, RedisConnection},
};
use crate::store::{BackendError, SentinelReport, url::HostAndPort, wire::Network};

/// The time between two questions to a sentinel. A failover takes a second or more.
const ASK_EVERY: Duration = Duration::from_millis(250);

/// The time for an answer. A sentinel does nothing else.
const ANSWER_WITHIN: Duration = Duration::from_millis(250);

/// All sentinels of a URL. Clones share the thread that asks them; it ends with the last of them.
#[derive(Debug, Clone)]
pub(super) struct Sentinels {
    /// The name of the primary that the sentinels watch.
    name: Arc<str>,
    sentinels: Arc<[(HostAndPort, RedisConnector)]>,
    network: Arc<dyn Network>,
    view: Arc<Mutex<Option<watch::Receiver<View>>>>,
}

/// The answers of the sentinels so far, and the claim among them.
#[derive(Debug, Clone, PartialEq, Eq)]
struct View {
    claim: Option<Claim>,
    answers: Vec<Answer>,
}

/// A primary, and the epoch of the configuration that made it one.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Claim {
    primary: HostAndPort,
    epoch: u64,
}

/// The last answer of one sentinel.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Answer {
    /// It has not been asked.
    Outstanding,
    /// It has not answered, or with an error: the reason, which may begin with its address.
    Failed(String),
    Claim(Claim),
}

/// The primary that a connection was made to. Clones are of the same connection.
#[derive(Debug, Clone)]
pub(super) struct Named {
    primary: HostAndPort,
    view: watch::Receiver<View>,
}

// ===== impl Sentinels =====

impl Sentinels {
    pub(super) fn new(
        name: &str,
        sentinels: Vec<(HostAndPort, RedisConnector)>,
        network: Arc<dyn Network>,
    ) -> Self {
        Self { name: name.into(), sentinels: sentinels.into(), network, view: Arc::default() }
    }

    /// The primary that the sentinels name, once enough of them have been asked.
    ///
    /// # Errors
    ///
    /// [`BackendError::NoPrimary`] if they name no primary by `deadline`.
    pub(super) async fn primary(&self, deadline: Instant) -> Result<(HostAndPort, Named), BackendError> {
        let mut receiver = self.start()?;
        let asked = timeout_at(deadline, receiver.wait_for(View::is_decided)).await;
        let view = asked.ok().and_then(Result::ok).map(|view| view.clone());
        let view = view.unwrap_or_else(|| receiver.borrow().clone());
        match &view.claim {
            Some(claim) if view.is_decided() => {
                let primary = claim.primary.clone();
                Ok((primary.clone(), Named { primary, view: receiver }))
            }
            _ => Err(BackendError::NoPrimary(self.faults(&view.answers))),
        }
    }

    /// The sentinels' last answers; `None` if nothing has been asked yet.
    pub(super) fn report(&self) -> Option<SentinelReport> {
        let view = self.view.lock().unwrap_or_else(PoisonError::into_inner);
        let answers = view.as_ref()?.borrow().answers.clone();
        let count = |is: fn(&Answer) -> bool| answers.iter().filter(|answer| is(answer)).count();
        Some(SentinelReport {
            answering: count(|answer| matches!(answer, Answer::Claim(_))),
            silent: count(|answer| matches!(answer, Answer::Failed(_))),
            faults: self.faults(&answers),
        })
    }

    fn faults(&self, answers: &[Answer]) -> String {
        let each = self.sentinels.iter().zip(answers).filter_map(|((sentinel, _), answer)| match answer {
            Answer::Outstanding => Some(format!("{sentinel}: no answer yet")),
            // A failed connect names the address, which may be what the URL says.
            Answer::Failed(cause) if cause.starts_with(&format!("{sentinel}: ")) => Some(cause.clone()),
            Answer::Failed(cause) => Some(format!("{sentinel}: {cause}")),
            Answer::Claim(_) => None,
        });
        each.collect::<Vec<_>>().join("; ")
    }

    /// The view of the thread; starts it, if it does not run yet.
    fn start(&self) -> Result<watch::Receiver<View>, BackendError> {
        let mut running = self.view.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(view) = running.as_ref() {
            return Ok(view.clone());
        }
        let answers = vec![Answer::Outstanding; self.sentinels.len()];
        let (publisher, view) = watch::channel(View { claim: None, answers });
        let (name, sentinels) = (self.name.clone(), self.sentinels.clone());
        let ask = async move {
            let each = sentinels
                .iter()
                .enumerate()
                .map(|(index, (_, connector))| ask_on(&name, connector, index, &publisher));
            select! {
                _ = join_all(each) => {}
                () = publisher.closed() => {}
            }
        };
        let asking = self.network.background("sentinels", ask.boxed());
        asking.map_err(|error| BackendError::NoPrimary(format!("no thread: {error}")))?;
        *running = Some(view.clone());
        Ok(view)
    }
}

/// Asks one sentinel for ever.
async fn ask_on(name: &str, connector: &RedisConnector, index: usize, publisher: &watch::Sender<View>) {
    let mut open = None;
    loop {
        let answer = match ask(name, connector, &mut open).await {
            Ok(claim) => Answer::Claim(claim),
            Err(cause) => {
                open = None;
                Answer::Failed(cause)
            }
        };
        publisher.send_if_modified(|view| view.hear(name, index, answer));
        sleep(ASK_EVERY).await;
    }
}

async fn ask(
    name: &str,
    connector: &RedisConnector,
    open: &mut Option<RedisConnection>,
) -> Result<Claim, String> {
    let connection = match open {
        Some(connection) => connection,
        // Boxed, because a connector of sentinels contains connectors.
        None => open.insert(Box::pin(connector.establish()).await.map_err(|error| error.to_string())?),
    };
    let answer = timeout(ANSWER_WITHIN, claim(name, &connection.commands)).await;
    answer.unwrap_or_else(|_| Err(BackendError::TimedOut.to_string()))
}

/// One round trip: the address, which the leader of a failover knows first, and the epoch.
async fn claim(name: &str, commands: &Commands) -> Result<Claim, String> {
    let question = |subcommand: &str| -> Cmd { cmd("SENTINEL").arg(subcommand).arg(name).take() };
    let (address, state) = join(
        commands.run::<Value>(question("GET-MASTER-ADDR-BY-NAME")),
        commands.run::<Value>(question("MASTER")),
    )
    .await;
    let address = match address {
        Ok(Value::Nil) => return Err(format!("does not know the name {name}")),
        Err(BackendError::Refused { .. }) => return Err("is not a sentinel".to_owned()),
        address => address,
    };
    let texts = |answer: Result<Value, BackendError>| {
        let read = |value| from_redis_value::<Vec<String>>(value).map_err(|_| BackendError::Protocol);
        answer.and_then(read).map_err(|error| error.to_string())
    };
    let (address, state) = (texts(address)?, texts(state)?);
    let field = |wanted: &str| {
        let mut pairs = state.chunks_exact(2);
        pairs.find_map(|pair| (pair.first()? == wanted).then(|| pair.last())?)
    };
    let [host, port] = address.as_slice() else { return Err(BackendError::Protocol.to_string()) };
    match (port.parse(), field("config-epoch").map(|epoch| epoch.parse()), field("name")) {
        (Ok(port), Some(Ok(epoch)), Some(said)) if said == name && !host.is_empty() => {
            Ok(Claim { primary: HostAndPort { host: host.clone(), port }, epoch })
        }
        _ => Err(BackendError::Protocol.to_string()),
    }
}

// ===== impl View =====

impl View {
    /// Whether enough sentinels have been asked, so one with old news does not decide.
    fn is_decided(&self) -> bool {
        let is_claim = |answer: &&Answer| matches!(answer, Answer::Claim(_));
        2 * self.answers.iter().filter(is_claim).count() > self.answers.len()
            || !self.answers.contains(&Answer::Outstanding)
            || self.claim.is_some()
    }

    /// Whether the answer of the sentinel with this index changes anything.
    fn hear(&mut self, name: &str, index: usize, answer: Answer) -> bool {
        let Some(last) = self.answers.get_mut(index) else { return false };
        if *last == answer {
            return false;
        }
        *last = answer;
        let claim = choose(self.claim.as_ref(), &self.answers);
        // Until enough have been asked, there is no claim that could be kept.
        if claim != self.claim && (self.claim.is_some() || View { claim: None, ..self.clone() }.is_decided())
        {
            if let Some(Claim { primary, epoch }) = &claim {
                tracing::info!(name, %primary, epoch, "sentinels name the primary");
            }
            self.claim = claim;
        }
        true
    }
}

/// The claim to believe, after `known` was believed.
fn choose(known: Option<&Claim>, answers: &[Answer]) -> Option<Claim> {
    let claims = || {
        answers.iter().filter_map(|answer| match answer {
            Answer::Claim(claim) => Some(claim),
            Answer::Outstanding | Answer::Failed(_) => None,
        })
    };
    let votes = |claim: &Claim| claims().filter(|other| *other == claim).count();
    // For one epoch the address of most sentinels counts; if there are as many for each, the known one.
    let best = claims().max_by_key(|claim| (claim.epoch, votes(claim), known == Some(*claim)));
    let is_older = |claim: &Claim| known.is_some_and(|known| claim.epoch < known.epoch);
    match best {
        Some(best) if is_older(best) && 2 * claims().count() <= answers.len() => known.cloned(),
        Some(best) => Some(best.clone()),
        None => known.cloned(),
    }
}

// ===== impl Named =====

impl Named {
    /// Returns when the sentinels name another primary.
    pub(super) async fn is_replaced(&mut self) {
        let is_other = |view: &View| view.claim.as_ref().is_some_and(|claim| claim.primary != self.primary);
        if self.view.wait_for(is_other).await.is_err() {
            // The thread ends only after the connectors; a connection may outlive them.
            std::future::pending::<()>().await;
        }
    }
}

#[cfg(test)]
mod tests;
