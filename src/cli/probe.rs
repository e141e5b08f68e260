//! `probe`: asks a service on this host for its health, for monitors that can only run a command, such as Docker.

use std::{
    io::{self, ErrorKind, Read, Write},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream},
    time::{Duration, Instant},
};

use clap::Args;

use super::failure::Failure;
use crate::config::Settings;

/// The time limit of the whole probe. The operators' listener asks no other service before it answers.
const PATIENCE: Duration = Duration::from_secs(2);

/// Longer than any of our status lines.
const LONGEST: usize = 1 << 10;

#[derive(Debug, Args)]
pub(super) struct ProbeArgs {
    /// Ask only whether the process is alive, not whether it is ready.
    #[arg(long)]
    live: bool,
}

/// Asks the operators' listener named in the settings. Prints nothing if the service is well.
pub(super) fn run(args: &ProbeArgs, settings: &Settings) -> Result<(), Failure> {
    let usage = |why: &str| Failure::Usage(format!("admin.bind: {why}, so there is nobody to ask"));
    let bound = settings.admin.bind.ok_or_else(|| usage("the operators' listener is turned off"))?;
    if bound.port() == 0 {
        return Err(usage("port 0 is any port"));
    }
    let path = if args.live { "/healthz" } else { "/readyz" };
    let address = reached_at(bound);
    let failed = |source| Failure::Probe { address, path, source };
    let line = status_line(address, path, Instant::now() + PATIENCE).map_err(failed)?;
    match line.split(' ').nth(1) {
        Some("200") => Ok(()),
        Some(_) | None => Err(failed(io::Error::other(format!("answered {line:?}")))),
    }
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

fn status_line(address: SocketAddr, path: &str, deadline: Instant) -> io::Result<String> {
    let left = || {
        let left = deadline.checked_duration_since(Instant::now()).filter(|left| !left.is_zero());
        left.ok_or_else(|| io::Error::from(ErrorKind::TimedOut))
    };
    let mut stream = TcpStream::connect_timeout(&address, left()?)?;
    stream.set_write_timeout(Some(left()?))?;
    stream.write_all(
        format!("GET {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n").as_bytes(),
    )?;
    let (mut said, mut buffer) = (Vec::new(), [0; 256]);
    while !said.contains(&b'\n') && said.len() < LONGEST {
        stream.set_read_timeout(Some(left()?))?;
        match stream.read(&mut buffer)? {
            0 => break,
            count => said.extend(buffer.iter().take(count)),
        }
    }
    let line = said.split(|byte| *byte == b'\r' || *byte == b'\n').next().unwrap_or_default();
    Ok(String::from_utf8_lossy(line).into_owned())
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
