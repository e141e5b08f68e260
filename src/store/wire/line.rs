//! One connection that many callers share, for protocols whose answers carry the tag of their question.
//!
//! The line gives each question a tag; tags rise from a random start. An answer must carry the tag of a question that is
//! in flight; of the oldest one, if the protocol answers in order. Anything else is [`BackendError::Protocol`] and ends
//! the connection, so an answer never reaches the wrong caller. A question whose caller has left keeps its place until its
//! answer comes.

use std::{
    collections::VecDeque,
    io,
    pin::{Pin, pin},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::{Buf, BytesMut};
use futures_util::task::AtomicWaker;
use tokio::{
    io::{AsyncReadExt, AsyncWrite},
    sync::{Semaphore, oneshot, watch},
    task::AbortHandle,
    time::{Instant, Interval, MissedTickBehavior, interval},
};

use super::{activity::ReadActivity, socket::Socket};
use crate::store::BackendError;

/// Maximum questions in flight; more wait for a place.
const IN_FLIGHT: usize = 1024;

/// Room for the bytes of one read from the socket.
const PIECE: usize = 16 << 10;

/// The interval of checks for an answer that does not come.
const CHECK_EVERY: Duration = Duration::from_millis(100);

/// Maximum time of one answer, even while bytes come. The service has given up such a question long before. An answer that
/// is lost does not make a connection silent if later ones overtake it, and neither does one that announces a wrong length.
pub(in crate::store) const OWED_FOR: Duration = Duration::from_secs(1);

/// The form of a protocol's answers.
pub(in crate::store) trait Dialect: Send + 'static {
    /// An answer, or the server's error in its stead.
    type Answer: Send + 'static;

    /// Whether answers come in the order of the questions.
    const IN_ORDER: bool;

    /// Takes one answer off the front of `input`, once it is complete. The outcome does not depend on how the bytes are
    /// split.
    ///
    /// # Errors
    ///
    /// [`BackendError::Protocol`] if the bytes are not an answer, or announce one that is too large;
    /// another error if the server ends the connection with it.
    fn take(&mut self, input: &mut BytesMut) -> Result<Option<(Tag, Self::Answer)>, BackendError>;
}

/// The question of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::store) enum Tag {
    /// The one with this tag.
    Of(u64),
    /// The oldest one in flight, because the protocol does not repeat the tag in this answer.
    Oldest,
}

/// See the [module](self). Clones are the same line; [`close`](Self::close) ends it.
#[derive(Debug)]
pub(in crate::store) struct Line<A>(Arc<Shared<A>>);

#[derive(Debug)]
struct Shared<A> {
    state: Mutex<State<A>>,
    /// A permit for each place of a question.
    places: Semaphore,
    driver: AtomicWaker,
    activity: Arc<ReadActivity>,
    ended: watch::Sender<Option<BackendError>>,
}

#[derive(Debug)]
struct State<A> {
    /// Questions that are not sent yet.
    out: BytesMut,
    /// The questions in flight, by rising tags; `None` if the answer overtook an older one.
    in_flight: VecDeque<Option<Question<A>>>,
    /// The tag of the first of them.
    first: u64,
    is_over: bool,
}

#[derive(Debug)]
struct Question<A> {
    asked: Instant,
    caller: oneshot::Sender<Result<A, BackendError>>,
}

/// The task that owns the socket.
struct Driver<D: Dialect> {
    socket: Box<dyn Socket>,
    dialect: D,
    line: Arc<Shared<D::Answer>>,
    writing: BytesMut,
    reading: BytesMut,
    checks: Interval,
    owed_for: Duration,
}

/// Ends the driver's task when it is dropped.
#[derive(Debug)]
pub(in crate::store) struct DriverHandle(AbortHandle);

// ===== impl Line =====

impl<A> Clone for Line<A> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<A: Send + 'static> Line<A> {
    /// Starts the protocol on `socket`. Nothing is sent yet. The connection ends when the handle is dropped.
    ///
    /// `owed_for` limits the time of an answer.
    pub(in crate::store) fn over<D: Dialect<Answer = A>>(
        socket: Box<dyn Socket>,
        dialect: D,
        owed_for: Duration,
    ) -> (Self, DriverHandle) {
        let state = State {
            out: BytesMut::new(),
            in_flight: VecDeque::new(),
            // An answer to an earlier connection, which a proxy may deliver, has another tag.
            first: fastrand::u64(..1 << 62),
            is_over: false,
        };
        let line = Arc::new(Shared {
            state: Mutex::new(state),
            places: Semaphore::new(IN_FLIGHT),
            driver: AtomicWaker::new(),
            activity: ReadActivity::new(),
            ended: watch::Sender::new(None),
        });
        let mut checks = interval(CHECK_EVERY);
        checks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (writing, reading) = (BytesMut::new(), BytesMut::new());
        let driver = Driver { socket, dialect, line: line.clone(), writing, reading, checks, owed_for };
        let task = tokio::spawn(driver).abort_handle();
        (Self(line), DriverHandle(task))
    }

    /// Sends the question that `write` appends, with its tag, and returns the answer.
    ///
    /// # Errors
    ///
    /// The reason why the connection has ended.
    pub(in crate::store) async fn ask(
        &self,
        write: impl FnOnce(u64, &mut BytesMut),
    ) -> Result<A, BackendError> {
        let Ok(place) = self.0.places.acquire().await else { return Err(self.reason()) };
        let (caller, answer) = oneshot::channel();
        {
            let mut state = self.0.lock();
            if state.is_over {
                return Err(self.reason());
            }
            // The question keeps the place, even if its caller leaves.
            place.forget();
            let tag = state.next_tag();
            write(tag, &mut state.out);
            state.in_flight.push_back(Some(Question { asked: Instant::now(), caller }));
            self.0.activity.sent();
        }
        self.0.driver.wake();
        answer.await.unwrap_or_else(|_| Err(self.reason()))
    }

    /// As [`Connection::silent_for`](crate::store::Connection::silent_for).
    pub(in crate::store) fn silent_for(&self) -> Duration {
        self.0.activity.silent_for()
    }

    /// Resolves to the reason when the connection has ended.
    pub(in crate::store) async fn ended(self) -> BackendError {
        let mut ended = self.0.ended.subscribe();
        let reason = ended.wait_for(Option::is_some).await;
        reason.ok().and_then(|reason| reason.clone()).unwrap_or(GONE)
    }

    /// Ends the connection at once.
    pub(in crate::store) fn close(&self) {
        self.0.end(&GONE);
    }

    fn reason(&self) -> BackendError {
        self.0.ended.borrow().clone().unwrap_or(GONE)
    }
}

const GONE: BackendError = BackendError::Disconnected(io::ErrorKind::ConnectionAborted);

// ===== impl Shared =====

impl<A> Shared<A> {
    fn lock(&self) -> MutexGuard<'_, State<A>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends the connection, and each question in flight, for the first reason that is given.
    fn end(&self, reason: &BackendError) {
        let mut state = self.lock();
        if state.is_over {
            return;
        }
        state.is_over = true;
        let in_flight = std::mem::take(&mut state.in_flight);
        drop(state);
        self.ended.send_replace(Some(reason.clone()));
        self.places.close();
        for question in in_flight.into_iter().flatten() {
            // The caller may have left.
            let _ = question.caller.send(Err(reason.clone()));
        }
        self.driver.wake();
    }
}

impl<A> State<A> {
    fn next_tag(&self) -> u64 {
        self.first + self.in_flight.len() as u64
    }

    /// Takes the question of `tag` out.
    fn question(&mut self, tag: Tag, in_order: bool) -> Result<Question<A>, BackendError> {
        let position = match tag {
            Tag::Oldest => 0,
            Tag::Of(tag) => tag.checked_sub(self.first).ok_or(BackendError::Protocol)?,
        };
        if in_order && position != 0 {
            return Err(BackendError::Protocol);
        }
        let place = usize::try_from(position).ok().and_then(|position| self.in_flight.get_mut(position));
        place.and_then(Option::take).ok_or(BackendError::Protocol)
    }

    /// Forgets the answered questions before the oldest one in flight, and returns their number.
    fn forget_answered(&mut self) -> usize {
        let answered = self.in_flight.iter().take_while(|question| question.is_none()).count();
        self.in_flight.drain(..answered);
        self.first += answered as u64;
        answered
    }
}

// ===== impl Driver =====

impl<D: Dialect> Driver<D> {
    /// Sends the questions that wait.
    fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BackendError>> {
        loop {
            if self.writing.is_empty() {
                let mut state = self.line.lock();
                if state.out.is_empty() {
                    return Poll::Ready(Ok(()));
                }
                std::mem::swap(&mut self.writing, &mut state.out);
            }
            let socket = Pin::new(&mut self.socket);
            match ready!(socket.poll_write(cx, &self.writing)) {
                Ok(0) => return Poll::Ready(Err(BackendError::Disconnected(io::ErrorKind::WriteZero))),
                Ok(written) => self.writing.advance(written),
                Err(error) => return Poll::Ready(Err(BackendError::Disconnected(error.kind()))),
            }
        }
    }

    /// Reads once, and gives the complete answers to their callers.
    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BackendError>> {
        // Cheap: the buffer is almost always empty by now, and is used again.
        self.reading.reserve(PIECE);
        let read = pin!(self.socket.read_buf(&mut self.reading)).poll(cx);
        match ready!(read) {
            Ok(0) => Poll::Ready(Err(BackendError::Disconnected(io::ErrorKind::UnexpectedEof))),
            Ok(_) => Poll::Ready(self.answer()),
            Err(error) => Poll::Ready(Err(BackendError::Disconnected(error.kind()))),
        }
    }

    fn answer(&mut self) -> Result<(), BackendError> {
        while !self.reading.is_empty() {
            let Some((tag, answer)) = self.dialect.take(&mut self.reading)? else { break };
            let mut state = self.line.lock();
            let question = state.question(tag, D::IN_ORDER)?;
            let free = state.forget_answered();
            drop(state);
            self.line.places.add_permits(free);
            // The caller may have left.
            let _ = question.caller.send(Ok(answer));
        }
        // Under the lock, so that a question which is asked meanwhile is not forgotten.
        let state = self.line.lock();
        if state.in_flight.is_empty() && self.reading.is_empty() {
            self.line.activity.owes_nothing();
        } else if state.in_flight.is_empty() {
            // Bytes of an answer that nobody has asked for.
            return Err(BackendError::Protocol);
        } else {
            self.line.activity.received();
        }
        Ok(())
    }

    /// Whether the oldest question has waited for too long.
    fn is_overdue(&self) -> bool {
        let state = self.line.lock();
        let oldest = state.in_flight.front().and_then(Option::as_ref);
        oldest.is_some_and(|question| question.asked.elapsed() >= self.owed_for)
    }

    fn poll_driving(&mut self, cx: &mut Context<'_>) -> Poll<BackendError> {
        self.line.driver.register(cx.waker());
        if self.line.lock().is_over {
            return Poll::Ready(GONE);
        }
        if let Poll::Ready(Err(error)) = self.poll_write(cx) {
            return Poll::Ready(error);
        }
        while let Poll::Ready(read) = self.poll_read(cx) {
            if let Err(error) = read {
                return Poll::Ready(error);
            }
        }
        while self.checks.poll_tick(cx).is_ready() {
            if self.is_overdue() {
                return Poll::Ready(BackendError::TimedOut);
            }
        }
        Poll::Pending
    }
}

impl<D: Dialect> Unpin for Driver<D> {}

impl<D: Dialect> Future for Driver<D> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.get_mut();
        let reason = ready!(this.poll_driving(cx));
        this.line.end(&reason);
        Poll::Ready(())
    }
}

/// The task may end before it is polled again, so its callers are told here as well.
impl<D: Dialect> Drop for Driver<D> {
    fn drop(&mut self) {
        self.line.end(&GONE);
    }
}

impl Drop for DriverHandle {
    fn drop(&mut self) {
        self.0.abort();
    }
}

#[cfg(test)]
mod tests;
