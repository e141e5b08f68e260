//! The load at a fixed rate: calls are due at times set before, whether or not earlier ones were answered.
//!
//! Threads with a connection each, since a thread's timer is precise to some 50 µs where an event loop's counts whole
//! milliseconds. A call's time counts from when it was due if its connection was still busy then: an answer that is late
//! makes those behind it late as well. If the connection was idle, it counts from when the thread woke up, for that
//! the thread overslept is not the contender's fault.

use std::{
    io::{self, BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpStream},
    thread,
    time::{Duration, Instant},
};

use crate::{client::post, workloads::MARK};

/// Each with a connection.
pub const THREADS: usize = 64;
const PATIENCE: Duration = Duration::from_secs(10);

/// What came of it.
#[derive(Debug, Default)]
pub struct Seen {
    /// In order.
    pub took: Vec<Duration>,
    /// Calls that were not answered with 200.
    pub failed: usize,
    /// Calls that were due and never sent, as all connections were busy until the end.
    pub unsent: usize,
}

// ===== impl Seen =====

impl Seen {
    /// The microseconds that this share of calls kept within; 0 of no calls.
    pub fn micros_at(&self, share: f64) -> f64 {
        let index = (self.took.len() as f64 * share).ceil() as usize;
        self.took.get(index.saturating_sub(1)).map_or(0.0, |took| took.as_secs_f64() * 1e6)
    }
}

/// The seconds at which calls are due, `rate` a second at equal distances for so long.
pub fn evenly(rate: f64, lasts: Duration) -> Vec<f64> {
    let calls = (rate * lasts.as_secs_f64()) as u32;
    (0..calls).map(|call| f64::from(call) / rate).collect()
}

/// The same at random distances, as callers who do not know of each other make them: a Poisson process.
pub fn at_random(rate: f64, lasts: Duration, seed: u64) -> Vec<f64> {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut due = 0.0;
    let mut next = || {
        due += -(1.0 - random.f64()).ln() / rate;
        (due < lasts.as_secs_f64()).then_some(due)
    };
    std::iter::from_fn(&mut next).collect()
}

/// Posts `bodies` in turn when they are `due`, for so long. Blocks.
pub fn open_loop(port: u16, bodies: &[String], due: &[f64], lasts: Duration) -> Seen {
    let start = Instant::now() + Duration::from_millis(20);
    thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS)
            .map(|number| {
                scope.spawn(move || {
                    let mine = due.iter().copied().enumerate().skip(number).step_by(THREADS);
                    one_connection(port, bodies, start, lasts, mine)
                })
            })
            .collect();
        let mut all = Seen::default();
        for thread in threads {
            let seen = thread.join().unwrap();
            all.took.extend(seen.took);
            all.failed += seen.failed;
            all.unsent += seen.unsent;
        }
        all.took.sort_unstable();
        all
    })
}

fn one_connection(
    port: u16,
    bodies: &[String],
    start: Instant,
    lasts: Duration,
    calls: impl Iterator<Item = (usize, f64)>,
) -> Seen {
    let mut seen = Seen::default();
    let mut connection = None;
    for (call, due) in calls {
        if start.elapsed() > lasts {
            seen.unsent += 1;
            continue;
        }
        let due = start + Duration::from_secs_f64(due);
        let begun = wait(due);
        let body = bodies[call % bodies.len()].replace(MARK, &format!("{call:010}"));
        match exchange(&mut connection, port, &body) {
            Ok(true) => seen.took.push(begun.elapsed()),
            Ok(false) | Err(_) => {
                seen.failed += 1;
                connection = None;
            }
        }
    }
    seen
}

/// When the time of a call that is due at `due` begins.
#[allow(clippy::disallowed_methods, reason = "the thread has nothing else to do")]
fn wait(due: Instant) -> Instant {
    let left = due.saturating_duration_since(Instant::now());
    if left.is_zero() {
        return due;
    }
    thread::sleep(left);
    Instant::now()
}

/// Whether the answer was 200.
fn exchange(connection: &mut Option<BufReader<TcpStream>>, port: u16, body: &str) -> io::Result<bool> {
    let stream = match connection {
        Some(stream) => stream,
        None => {
            let stream = TcpStream::connect_timeout(&SocketAddr::from(([127, 0, 0, 1], port)), PATIENCE)?;
            stream.set_nodelay(true)?;
            stream.set_read_timeout(Some(PATIENCE))?;
            connection.insert(BufReader::with_capacity(16 << 10, stream))
        }
    };
    stream.get_mut().write_all(post(body).as_bytes())?;
    let (mut line, mut length, mut is_good) = (String::new(), 0, None);
    loop {
        line.clear();
        if stream.read_line(&mut line)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        is_good.get_or_insert_with(|| line.starts_with("HTTP/1.1 200"));
        if line == "\r\n" {
            break;
        }
        if line.get(..15).is_some_and(|name| name.eq_ignore_ascii_case("content-length:")) {
            length = line[15..].trim().parse().map_err(io::Error::other)?;
        }
    }
    io::copy(&mut stream.take(length), &mut io::sink())?;
    Ok(is_good == Some(true))
}
