//! Asks the operators' listener of the service on this host.

use std::{
    io::{self, ErrorKind, Read, Write},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream},
    time::{Duration, Instant},
};

use super::failure::Failure;
use crate::config::Settings;

/// The time limit of a question. The operators' listener asks no other service before it answers.
const PATIENCE: Duration = Duration::from_secs(2);

/// The operators' listener of the service on this host.
#[derive(Debug, Clone, Copy)]
pub(super) struct Admin {
    address: SocketAddr,
}

// ===== impl Admin =====

impl Admin {
    /// The listener at `admin.bind`.
    pub(super) fn of(settings: &Settings) -> Result<Self, Failure> {
        let usage = |why: &str| Failure::Usage(format!("admin.bind: {why}, so there is nobody to ask"));
        let bound = settings.admin.bind.ok_or_else(|| usage("the operators' listener is turned off"))?;
        if bound.port() == 0 {
            return Err(usage("port 0 is any port"));
        }
        Ok(Self { address: reached_at(bound) })
    }

    /// Where it is.
    pub(super) fn address(self) -> SocketAddr {
        self.address
    }

    /// The status line of the answer to `GET path`, such as `HTTP/1.1 200 OK`.
    pub(super) fn status_line(self, path: &'static str) -> Result<String, Failure> {
        const LONGEST: usize = 1 << 10;
        let said = self.ask(path, LONGEST, |said| said.contains(&b'\n'));
        Ok(first_line(&said.map_err(|source| self.failure(path, source))?))
    }

    /// The body of the answer to `GET path`, which must be a 200.
    pub(super) fn body(self, path: &'static str) -> Result<Vec<u8>, Failure> {
        const LONGEST: usize = 16 << 20;
        let failed = |source| self.failure(path, source);
        let mut said = self.ask(path, LONGEST, |_| false).map_err(failed)?;
        let line = first_line(&said);
        if !is_ok(&line) {
            return Err(failed(io::Error::other(format!("answered {line:?}"))));
        }
        let head = said.windows(4).position(|window| window == b"\r\n\r\n");
        let head = head.ok_or_else(|| failed(ErrorKind::UnexpectedEof.into()))?;
        Ok(said.split_off(head + 4))
    }

    /// Why there is no answer to `GET path`.
    pub(super) fn failure(self, path: &'static str, source: io::Error) -> Failure {
        Failure::Probe { address: self.address, path, source }
    }

    /// Reads the answer to `GET path` until it ends, is longer than `longest`, or `is_enough`.
    fn ask(self, path: &str, longest: usize, is_enough: impl Fn(&[u8]) -> bool) -> io::Result<Vec<u8>> {
        let deadline = Instant::now() + PATIENCE;
        let left = || {
            let left = deadline.checked_duration_since(Instant::now()).filter(|left| !left.is_zero());
            left.ok_or_else(|| io::Error::from(ErrorKind::TimedOut))
        };
        let address = self.address;
        let mut stream = TcpStream::connect_timeout(&address, left()?)?;
        stream.set_write_timeout(Some(left()?))?;
        stream.write_all(
            format!("GET {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n").as_bytes(),
        )?;
        let (mut said, mut buffer) = (Vec::new(), [0; 4096]);
        while !is_enough(&said) && said.len() < longest {
            stream.set_read_timeout(Some(left()?))?;
            match stream.read(&mut buffer)? {
                0 => break,
                count => said.extend(buffer.iter().take(count)),
            }
        }
        Ok(said)
    }
}

/// Whether a status line is that of a 200.
pub(super) fn is_ok(line: &str) -> bool {
    line.split(' ').nth(1) == Some("200")
}

/// The address at which to reach a listener on this host: a listener on all addresses is reached over loopback.
fn reached_at(bound: SocketAddr) -> SocketAddr {
    let ip = match bound.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip @ (IpAddr::V4(_) | IpAddr::V6(_)) => ip,
    };
    (ip, bound.port()).into()
}

fn first_line(said: &[u8]) -> String {
    let line = said.split(|byte| *byte == b'\r' || *byte == b'\n').next().unwrap_or_default();
    String::from_utf8_lossy(line).into_owned()
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::one_address("127.0.0.2:81", "127.0.0.2:81")]
    #[case::all("0.0.0.0:81", "127.0.0.1:81")]
    #[case::all_v6("[::]:81", "[::1]:81")]
    fn a_listener_on_all_addresses_is_reached_on_loopback(#[case] bound: &str, #[case] reached: &str) {
        assert_eq!(reached_at(bound.parse().unwrap()), reached.parse().unwrap());
    }
}
