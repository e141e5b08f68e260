//! Load at a fixed rate (open loop): calls are due at fixed times, whether or not earlier ones were answered.
//!
//! One thread over epoll, whose timer is precise to some 50 µs; the timers of event loops count whole milliseconds. One thread
//! for each connection is also possible, but with 64 threads the contender spends its time waiting for a core.
//!
//! If all connections were busy when a call was due, its time counts from the due time: a late answer also delays the calls
//! behind it. If one was idle, the time counts from the send, because the contender did not cause this thread's late wake-up.

use std::{
    collections::VecDeque,
    io::{self, Read, Write},
    net::{SocketAddr, TcpStream},
    time::{Duration, Instant},
};

use rustix::{
    buffer::spare_capacity,
    event::{
        Timespec,
        epoll::{self, CreateFlags, EventData, EventFlags},
    },
    fd::OwnedFd,
    io::retry_on_intr,
};
use testkit::bench::client::post;

pub const CONNECTIONS: usize = 64;
/// How long to wait for late answers at the end.
const PATIENCE: Duration = Duration::from_secs(10);

/// Result of a load.
#[derive(Debug, Default)]
pub struct Seen {
    /// Sorted.
    pub took: Vec<Duration>,
    /// Calls with an answer other than 200.
    pub failed: usize,
    /// Calls that were never sent, because all connections were busy until long after the end.
    pub unsent: usize,
}

// ===== impl Seen =====

impl Seen {
    /// The percentile at this share of calls, in microseconds; 0 without calls.
    pub fn micros_at(&self, share: f64) -> f64 {
        let index = (self.took.len() as f64 * share).ceil() as usize;
        self.took.get(index.saturating_sub(1)).map_or(0.0, |took| took.as_secs_f64() * 1e6)
    }
}

/// Due times in seconds: `rate` a second at equal distances.
pub fn evenly(rate: f64, lasts: Duration) -> Vec<f64> {
    let calls = (rate * lasts.as_secs_f64()) as u32;
    (0..calls).map(|call| f64::from(call) / rate).collect()
}

/// Due times at random distances, as independent callers make them: a Poisson process.
pub fn at_random(rate: f64, lasts: Duration, seed: u64) -> Vec<f64> {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut due = 0.0;
    let mut next = || {
        due += -(1.0 - random.f64()).ln() / rate;
        (due < lasts.as_secs_f64()).then_some(due)
    };
    std::iter::from_fn(&mut next).collect()
}

/// Posts `bodies` in turn at their `due` times. Blocks.
pub fn open_loop(port: u16, bodies: &[String], due: &[f64], lasts: Duration) -> io::Result<Seen> {
    let calls: Vec<Vec<u8>> = bodies.iter().map(|body| post(body).into_bytes()).collect();
    let mut load = Load::connect(port)?;
    let start = Instant::now();
    let mut sent = 0;
    while sent < due.len() && start.elapsed() < lasts + PATIENCE {
        let due = start + Duration::from_secs_f64(due[sent]);
        let now = Instant::now();
        if now < due {
            load.take_answers(due - now)?;
        } else if !load.send(&calls[sent % calls.len()], due, now)? {
            load.take_answers((lasts + PATIENCE).saturating_sub(start.elapsed()))?;
        } else {
            sent += 1;
        }
    }
    let end = Instant::now() + PATIENCE;
    while load.idle.len() < CONNECTIONS && Instant::now() < end {
        load.take_answers(end - Instant::now())?;
    }
    let mut seen = load.seen;
    seen.failed += CONNECTIONS - load.idle.len();
    seen.unsent = due.len() - sent;
    seen.took.sort_unstable();
    Ok(seen)
}

/// The connections, and the results so far.
struct Load {
    address: SocketAddr,
    epoll: OwnedFd,
    connections: Vec<Connection>,
    /// Connections without a call in flight; the one that has been idle longest is first.
    idle: VecDeque<usize>,
    /// The last time when all connections were busy.
    busy_until: Instant,
    seen: Seen,
}

/// One connection, with at most one call in flight.
struct Connection {
    stream: TcpStream,
    begun: Instant,
    received: Vec<u8>,
}

// ===== impl Load =====

impl Load {
    fn connect(port: u16) -> io::Result<Self> {
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        let epoll = epoll::create(CreateFlags::CLOEXEC)?;
        let connections: Vec<_> =
            (0..CONNECTIONS).map(|_| Connection::open(address)).collect::<io::Result<_>>()?;
        for (number, connection) in connections.iter().enumerate() {
            watch(&epoll, connection, number)?;
        }
        let idle = (0..CONNECTIONS).collect();
        Ok(Self { address, epoll, connections, idle, busy_until: Instant::now(), seen: Seen::default() })
    }

    /// Returns whether there was an idle connection for the call.
    fn send(&mut self, call: &[u8], due: Instant, now: Instant) -> io::Result<bool> {
        let Some(number) = self.idle.pop_front() else { return Ok(false) };
        let begun = if due <= self.busy_until { due } else { now };
        self.connections[number].begun = begun;
        // A call is far smaller than a socket's buffer, so one write sends it whole.
        if self.connections[number].stream.write_all(call).is_err() {
            self.fail(number)?;
        }
        if self.idle.is_empty() {
            self.busy_until = now;
        }
        Ok(true)
    }

    /// Reads all answers that have arrived, or arrive within `wait`.
    fn take_answers(&mut self, wait: Duration) -> io::Result<()> {
        let all_busy = self.idle.is_empty();
        let wait = Timespec::try_from(wait).map_err(io::Error::other)?;
        let mut ready = Vec::with_capacity(CONNECTIONS);
        retry_on_intr(|| epoll::wait(&self.epoll, spare_capacity(&mut ready), Some(&wait)))?;
        if all_busy {
            self.busy_until = Instant::now();
        }
        for number in ready.into_iter().map(|event| event.data.u64() as usize) {
            match self.connections[number].answer() {
                Ok(None) => {}
                Ok(Some(true)) => {
                    self.seen.took.push(self.connections[number].begun.elapsed());
                    self.idle.push_back(number);
                }
                Ok(Some(false)) | Err(_) => self.fail(number)?,
            }
        }
        Ok(())
    }

    /// Counts a call that failed; the next one gets a new connection.
    fn fail(&mut self, number: usize) -> io::Result<()> {
        self.seen.failed += 1;
        self.connections[number] = Connection::open(self.address)?;
        watch(&self.epoll, &self.connections[number], number)?;
        self.idle.push_back(number);
        Ok(())
    }
}

/// Closing the connection also ends the watch.
fn watch(epoll: &OwnedFd, connection: &Connection, number: usize) -> io::Result<()> {
    epoll::add(epoll, &connection.stream, EventData::new_u64(number as u64), EventFlags::IN)?;
    Ok(())
}

// ===== impl Connection =====

impl Connection {
    fn open(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect_timeout(&address, PATIENCE)?;
        stream.set_nodelay(true)?;
        stream.set_nonblocking(true)?;
        Ok(Self { stream, begun: Instant::now(), received: Vec::with_capacity(4 << 10) })
    }

    /// Whether the answer was 200, once it is complete.
    fn answer(&mut self) -> io::Result<Option<bool>> {
        let mut part = [0; 4 << 10];
        match self.stream.read(&mut part) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(length) => self.received.extend_from_slice(&part[..length]),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
            Err(error) => return Err(error),
        }
        let mut headers = [httparse::EMPTY_HEADER; 32];
        let mut head = httparse::Response::new(&mut headers);
        let httparse::Status::Complete(head_length) = head.parse(&self.received).map_err(io::Error::other)?
        else {
            return Ok(None);
        };
        let length = head.headers.iter().find(|header| header.name.eq_ignore_ascii_case("content-length"));
        let length = length.and_then(|header| std::str::from_utf8(header.value).ok()?.parse::<usize>().ok());
        let length = length.ok_or(io::ErrorKind::InvalidData)?;
        if self.received.len() < head_length + length {
            return Ok(None);
        }
        let is_good = head.code == Some(200);
        self.received.clear();
        Ok(Some(is_good))
    }
}
