//! The client of a request, for its rate limit: the peer, or the address that a trusted proxy reports.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use actix_web::http::header::{HeaderMap, X_FORWARDED_FOR};
use ipnet::IpNet;

/// A client with a rate of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(in crate::http) enum Client<'a> {
    /// Its address. An IPv6 address stands for its /64 network, which belongs to one client.
    Address(IpAddr),
    /// A name that a trusted proxy gave and that is not an address, such as `unknown`. All clients of one name share
    /// a rate.
    Named(&'a [u8]),
}

/// The client that sent a request. Each proxy appends the address of its peer to `X-Forwarded-For`, and a client can
/// write anything in front of it. So the client is the right-most element that is not a trusted proxy.
///
/// Empty elements are skipped, as HTTP demands for lists. `unix:` is skipped too: nginx appends it for a peer on the
/// same machine. Any other element that is not an address stands for its client by its text. The elements to its left
/// come from that unknown client, which could choose its address with them.
pub(in crate::http) fn client<'a>(peer: IpAddr, headers: &'a HeaderMap, trusted: &[IpNet]) -> Client<'a> {
    let is_trusted = |address: IpAddr| trusted.iter().any(|network| network.contains(&address));
    let mut client = peer.to_canonical();
    let hops =
        headers.get_all(X_FORWARDED_FOR).rev().flat_map(|line| line.as_bytes().rsplit(|byte| *byte == b','));
    let mut hops = hops.map(<[u8]>::trim_ascii).filter(|hop| !hop.is_empty() && *hop != b"unix:");
    while is_trusted(client) {
        let Some(hop) = hops.next() else { break };
        let Some(address) = parse(hop) else { return Client::Named(hop) };
        client = address;
    }
    Client::Address(match client {
        IpAddr::V4(_) => client,
        IpAddr::V6(address) => {
            let network = u128::from(address) & (u128::MAX << 64);
            Ipv6Addr::from(network).into()
        }
    })
}

/// Some proxies add the port, some the brackets without a port, and some the zone of a link-local address.
fn parse(hop: &[u8]) -> Option<IpAddr> {
    let hop = str::from_utf8(hop).ok()?;
    let bare = hop.strip_prefix('[').and_then(|hop| hop.strip_suffix(']')).unwrap_or(hop);
    let bare = bare.split_once('%').map_or(bare, |(address, _zone)| address);
    let address = bare.parse().ok().or_else(|| hop.parse().ok().map(|with_port: SocketAddr| with_port.ip()));
    address.map(|address: IpAddr| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use actix_web::http::header::HeaderValue;
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::nobody_is_trusted("", "192.0.2.1", &["203.0.113.5"], "192.0.2.1")]
    #[case::stranger("10.0.0.0/8", "192.0.2.1", &["203.0.113.5"], "192.0.2.1")]
    #[case::proxy("10.0.0.0/8", "10.1.1.1", &["203.0.113.5"], "203.0.113.5")]
    #[case::forged_to_the_left("10.0.0.0/8", "10.1.1.1", &["1.1.1.1, 203.0.113.5"], "203.0.113.5")]
    #[case::two_proxies("10.0.0.0/8", "10.1.1.1", &["1.1.1.1, 203.0.113.5, 10.2.2.2"], "203.0.113.5")]
    #[case::two_lines("10.0.0.0/8", "10.1.1.1", &["1.1.1.1", "203.0.113.5, 10.2.2.2"], "203.0.113.5")]
    #[case::with_a_port("10.0.0.0/8", "10.1.1.1", &["203.0.113.5:4711"], "203.0.113.5")]
    #[case::no_header("10.0.0.0/8", "10.1.1.1", &[], "10.1.1.1")]
    #[case::all_trusted("10.0.0.0/8", "10.1.1.1", &["10.3.3.3, 10.2.2.2"], "10.3.3.3")]
    #[case::garbage_to_the_left("10.0.0.0/8", "10.1.1.1", &["\u{ff}, ?, 203.0.113.5"], "203.0.113.5")]
    #[case::garbage_in_another_line("10.0.0.0/8", "10.1.1.1", &["\u{ff}", "203.0.113.5"], "203.0.113.5")]
    #[case::empty_elements("10.0.0.0/8", "10.1.1.1", &[", 203.0.113.5, ,", ""], "203.0.113.5")]
    #[case::nothing_but_empty_elements("10.0.0.0/8", "10.1.1.1", &[", ,", ""], "10.1.1.1")]
    #[case::brackets("::1/128", "::1", &["[2001:db8::5]"], "2001:db8::")]
    #[case::zone("::1/128", "::1", &["fe80::5%eth0"], "fe80::")]
    #[case::local_proxy("10.0.0.0/8", "10.1.1.1", &["203.0.113.5, unix:"], "203.0.113.5")]
    #[case::no_address("10.0.0.0/8", "10.1.1.1", &["1.1.1.1, unknown"], "unknown")]
    #[case::no_text("10.0.0.0/8", "10.1.1.1", &["1.1.1.1, \u{ff}"], "\u{ff}")]
    #[case::no_address_behind_a_proxy("10.0.0.0/8", "10.1.1.1", &["203.0.113.5, ?, 10.2.2.2"], "?")]
    #[case::mapped_peer("10.0.0.0/8", "::ffff:10.1.1.1", &["::ffff:203.0.113.5"], "203.0.113.5")]
    #[case::ipv6("", "2001:db8:1:2:3:4:5:6", &[], "2001:db8:1:2::")]
    #[case::ipv6_behind_a_proxy("::1/128", "::1", &["[2001:db8::5]:1"], "2001:db8::")]
    fn row_61_the_client_is_the_right_most_untrusted_element(
        #[case] trusted: &str,
        #[case] peer: &str,
        #[case] forwarded: &[&str],
        #[case] expected: &str,
    ) {
        let trusted: Vec<IpNet> = trusted.split(',').filter_map(|network| network.parse().ok()).collect();
        let mut headers = HeaderMap::new();
        for line in forwarded {
            // Each character as one byte, so that a line need not be UTF-8.
            let bytes: Vec<u8> = line.chars().map(|character| u8::try_from(character).unwrap()).collect();
            headers.append(X_FORWARDED_FOR, HeaderValue::from_bytes(&bytes).unwrap());
        }
        let client = match client(peer.parse().unwrap(), &headers, &trusted) {
            Client::Address(address) => address.to_string(),
            Client::Named(name) => name.iter().map(|byte| char::from(*byte)).collect(),
        };
        assert_eq!(client, expected);
    }
}
