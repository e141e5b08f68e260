//! The connections that wait to be accepted, as the kernel counts them.
//!
//! No other number shows them: the service does not know of a connection before it accepts it.

use std::{
    fs::File,
    io::{self, BufRead, BufReader},
    net::{SocketAddr, TcpListener},
};

use prometheus::{
    IntGaugeVec, Opts,
    core::{Collector, Desc},
    proto::MetricFamily,
};
use rustix::fs::fstat;

/// The state of a listening socket in the kernel's tables, which have these sockets first.
const LISTENING: &str = "0A";

/// The accept queue of a listener. Does not keep the socket open.
#[derive(Debug, Clone)]
pub struct AcceptQueue {
    /// The label of its metric.
    name: &'static str,
    table: &'static str,
    inode: u64,
}

/// The gauge of waiting connections, read when the metrics are.
pub struct WaitingConnections {
    gauge: IntGaugeVec,
    queues: Vec<AcceptQueue>,
}

// ===== impl AcceptQueue =====

impl AcceptQueue {
    /// The queue of `listener`.
    ///
    /// # Errors
    ///
    /// If the socket is not open.
    pub fn of(name: &'static str, listener: &TcpListener) -> io::Result<Self> {
        let table = match listener.local_addr()? {
            SocketAddr::V4(_) => "/proc/self/net/tcp",
            SocketAddr::V6(_) => "/proc/self/net/tcp6",
        };
        Ok(Self { name, table, inode: fstat(listener)?.st_ino })
    }

    /// The number of connections that wait; `None` if the kernel does not tell.
    pub fn waiting(&self) -> Option<u64> {
        waiting(BufReader::new(File::open(self.table).ok()?), self.inode)
    }
}

/// Searches the listening sockets of a kernel's table, and no others: there may be thousands.
fn waiting(table: impl BufRead, inode: u64) -> Option<u64> {
    let rows = table.lines().skip(1).map_while(Result::ok);
    for row in rows {
        let columns: Vec<_> = row.split_ascii_whitespace().collect();
        if columns.get(3) != Some(&LISTENING) {
            return None;
        }
        if columns.get(9).and_then(|column| column.parse().ok()) == Some(inode) {
            let (_, received) = columns.get(4)?.split_once(':')?;
            return u64::from_str_radix(received, 16).ok();
        }
    }
    None
}

// ===== impl WaitingConnections =====

impl WaitingConnections {
    /// The gauge of `queues`.
    ///
    /// # Errors
    ///
    /// Never, unless its name is malformed.
    pub fn new(queues: Vec<AcceptQueue>) -> prometheus::Result<Self> {
        let help = "Connections that wait to be accepted.";
        let gauge = IntGaugeVec::new(Opts::new("scoring_http_connections_waiting", help), &["listener"])?;
        Ok(Self { gauge, queues })
    }
}

impl Collector for WaitingConnections {
    fn desc(&self) -> Vec<&Desc> {
        self.gauge.desc()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        for queue in &self.queues {
            let waiting = queue.waiting().and_then(|waiting| i64::try_from(waiting).ok());
            waiting.iter().for_each(|waiting| self.gauge.with_label_values(&[queue.name]).set(*waiting));
        }
        self.gauge.collect()
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpStream;

    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::ipv4("127.0.0.1:0")]
    #[case::ipv6("[::1]:0")]
    fn each_connection_waits_until_it_is_accepted(#[case] address: &str) {
        let listener = TcpListener::bind(address).unwrap();
        let queue = AcceptQueue::of("public", &listener).unwrap();
        assert_eq!(queue.waiting(), Some(0));
        let address = listener.local_addr().unwrap();
        let _clients = [(); 3].map(|()| TcpStream::connect(address).unwrap());
        assert_eq!(queue.waiting(), Some(3));
        let _accepted = listener.accept().unwrap();
        assert_eq!(queue.waiting(), Some(2));
        drop(listener);
        assert_eq!(queue.waiting(), None);
    }

    #[test]
    fn connections_are_not_searched() {
        let listening = "0: 0100007F:1F90 00000000:0000 0A 00000000:00000002 00:00000000 00000000 0 0 77 1";
        let connected = "1: 0100007F:1F90 0100007F:9999 01 00000000:00000005 00:00000000 00000000 0 0 78 1";
        let table = ["the heads of columns", listening, connected].join("\n");
        assert_eq!(waiting(table.as_bytes(), 77), Some(2));
        assert_eq!(waiting(table.as_bytes(), 78), None);
    }
}
