//! The bytes of one connection on their way, and their faults.

use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use protocols::{iproto, meta, resp};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    select,
    sync::Notify,
    time::{Instant, sleep_until},
};

use crate::script::Protocol;

/// The most replies of a round of reads: values, their number, and the end marker.
const LONGEST_ROUND: usize = 3;

/// A change of one reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tamper {
    /// A length or count is too large by a thousand.
    WrongLength,
    /// It comes twice.
    Repeat,
    /// At the end of a round, the last replies come again.
    Again(usize),
    /// It does not come.
    Drop,
}

/// The event after the last bytes of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Then {
    /// Nothing, for ever.
    Silence,
    /// The end of the connection.
    End,
}

/// Which way bytes go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Direction {
    ToServer,
    ToClient,
}

/// The faults of one connection's bytes.
#[derive(Debug, Default)]
pub(super) struct Wire {
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct State {
    is_cut: bool,
    /// The client has closed its end, so nothing arrives there.
    has_no_client: bool,
    is_stalled: bool,
    /// The number of bytes that the client still gets.
    last_bytes: Option<(usize, Then)>,
    tamper: Option<Tamper>,
    /// The last replies, the newest last.
    recent: VecDeque<Vec<u8>>,
    /// The time between two bytes to the client.
    gap: Duration,
}

// ===== impl Wire =====

impl Wire {
    /// Ends the connection.
    pub(super) fn cut(&self) {
        self.lock().is_cut = true;
        self.changed.notify_waiters();
    }

    /// From now on all bytes get lost.
    pub(super) fn stall(&self) {
        self.lock().is_stalled = true;
    }

    /// The client gets only `count` more bytes.
    pub(super) fn end_after(&self, count: usize, then: Then) {
        self.lock().last_bytes = Some((count, then));
    }

    /// From now on the client gets a byte each `gap`.
    pub(super) fn dribble(&self, gap: Duration) {
        self.lock().gap = gap;
    }

    /// The time between two bytes to the client.
    pub(super) fn gap(&self) -> Duration {
        self.lock().gap
    }

    /// The next reply that can be changed this way is.
    pub(super) fn tamper(&self, tamper: Tamper) {
        self.lock().tamper = Some(tamper);
    }

    pub(super) fn is_cut(&self) -> bool {
        self.lock().is_cut
    }

    /// The bytes to send in place of `reply`.
    pub(super) fn tampered(&self, reply: Vec<u8>, protocol: Protocol) -> Vec<u8> {
        let mut state = self.lock();
        state.recent.push_back(reply.clone());
        if state.recent.len() > LONGEST_ROUND {
            state.recent.pop_front();
        }
        let changed = match state.tamper {
            None => None,
            // Of Redis' replies only an end marker has a colon; the others have no rounds.
            Some(Tamper::Again(count)) => {
                (protocol != Protocol::Redis || (reply[0] == b'$' && reply.contains(&b':'))).then(|| {
                    let skipped = state.recent.len().saturating_sub(count);
                    let again: Vec<_> = state.recent.iter().skip(skipped).flatten().copied().collect();
                    [&reply[..], &again].concat()
                })
            }
            Some(Tamper::WrongLength) => match protocol {
                Protocol::Redis => resp::with_wrong_length(&reply),
                Protocol::Memcached => meta::with_wrong_length(&reply),
                Protocol::Tarantool => Some(iproto::with_wrong_length(&reply)),
            },
            Some(Tamper::Repeat) => Some(reply.repeat(2)),
            Some(Tamper::Drop) => Some(Vec::new()),
        };
        match changed {
            None => reply,
            Some(changed) => {
                state.tamper = None;
                changed
            }
        }
    }

    /// Carries bytes until one end has closed or the wire is cut. `delay` is asked once for each piece: the time until it
    /// arrives, and the time between its bytes.
    pub(super) async fn carry(
        &self,
        mut from: impl AsyncRead + Unpin,
        mut to: impl AsyncWrite + Unpin,
        direction: Direction,
        delay: impl Fn() -> (Duration, Duration),
    ) {
        let mut under_way: VecDeque<(Instant, Vec<u8>)> = VecDeque::new();
        let mut has_ended = false;
        loop {
            if has_ended && under_way.is_empty() {
                break;
            }
            let changed = self.changed.notified();
            if self.is_over(direction) {
                break;
            }
            let arrives = under_way.front().map(|(at, _)| *at);
            let mut piece = Vec::with_capacity(1 << 10);
            select! {
                biased;
                () = changed => {}
                () = sleep_until(arrives.unwrap_or_else(Instant::now)), if arrives.is_some() => {
                    let (_, mut piece) = under_way.pop_front().unwrap_or_else(|| unreachable!());
                    let goes_on = self.pass(direction, &mut piece);
                    if to.write_all(&piece).await.is_err() || !goes_on {
                        break;
                    }
                }
                read = from.read_buf(&mut piece), if !has_ended => {
                    if read.is_err() || piece.is_empty() {
                        has_ended = true;
                        if direction == Direction::ToServer {
                            self.lock().has_no_client = true;
                            self.changed.notify_waiters();
                        }
                        continue;
                    }
                    let (latency, gap) = delay();
                    let last = under_way.back().map(|(at, _)| *at);
                    let at = last.into_iter().fold(Instant::now() + latency, Instant::max);
                    if gap.is_zero() {
                        under_way.push_back((at, piece));
                    } else {
                        let times = (0..).map(|index| at + gap * index);
                        under_way.extend(times.zip(piece.chunks(1).map(<[u8]>::to_vec)));
                    }
                }
            }
        }
        // The other end may have gone already.
        _ = to.shutdown().await;
    }

    /// Removes the bytes of `piece` that do not arrive. Returns whether the connection goes on.
    fn pass(&self, direction: Direction, piece: &mut Vec<u8>) -> bool {
        let mut state = self.lock();
        if state.is_stalled {
            piece.clear();
        }
        if direction == Direction::ToClient
            && let Some((left, then)) = &mut state.last_bytes
        {
            piece.truncate(*left);
            *left -= piece.len();
            if *left == 0 {
                match then {
                    Then::Silence => state.is_stalled = true,
                    Then::End => {
                        state.is_cut = true;
                        self.changed.notify_waiters();
                        return false;
                    }
                }
            }
        }
        true
    }

    fn is_over(&self, direction: Direction) -> bool {
        let state = self.lock();
        state.is_cut || (direction == Direction::ToClient && state.has_no_client)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
