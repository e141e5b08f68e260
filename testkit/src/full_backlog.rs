//! A listener whose queue of connections is full, so that a connect goes nowhere: no refusal, no answer.
//!
//! This is how an overloaded host or a dropping firewall looks from outside, and it needs no packet filter: the kernel
//! drops every SYN for a listener whose accept queue is full.

use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use super::port::ReservedPort;

/// Linux queues one connection more than the backlog says. A backlog of 0 would bring SYN cookies into play.
const BACKLOG: i32 = 1;

/// A port on which connects go nowhere. Dropping it refuses them again.
#[derive(Debug)]
pub struct FullBacklog {
    _listener: TcpListener,
    _queued: Vec<TcpStream>,
}

// ===== impl FullBacklog =====

impl FullBacklog {
    /// Listens on `port` and fills the queue with connections of its own.
    pub fn on(port: &ReservedPort) -> Self {
        let listener = port.listen(BACKLOG);
        // The kernel completes these by itself, so that blocking here costs microseconds.
        let queued = (0..=BACKLOG)
            .map(|_| TcpStream::connect_timeout(&port.addr(), Duration::from_secs(1)).unwrap())
            .collect();
        Self { _listener: listener, _queued: queued }
    }
}

#[cfg(test)]
mod tests {
    use std::io::ErrorKind;

    use super::*;

    #[test]
    fn a_connect_goes_nowhere_until_the_backlog_is_gone() {
        let port = ReservedPort::new();
        let connect =
            || TcpStream::connect_timeout(&port.addr(), Duration::from_millis(100)).map_err(|e| e.kind());

        let full = FullBacklog::on(&port);
        assert_eq!(connect().unwrap_err(), ErrorKind::TimedOut);
        drop(full);
        assert_eq!(connect().unwrap_err(), ErrorKind::ConnectionRefused);
    }
}
