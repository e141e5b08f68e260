//! Who a client is, for counting how often it calls: the peer, or whom a trusted proxy names.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use actix_web::http::header::{HeaderMap, X_FORWARDED_FOR};
use ipnet::IpNet;

/// The client's address. Of those that `X-Forwarded-For` lists, proxies add to the right, and clients can write what they
/// like to the left: so it is the right-most one that is no trusted proxy's.
///
/// An IPv6 address stands for its /64, which one client has all of.
pub(super) fn client_address(peer: IpAddr, headers: &HeaderMap, trusted: &[IpNet]) -> IpAddr {
    let is_trusted = |address: IpAddr| trusted.iter().any(|network| network.contains(&address));
    let mut client = peer.to_canonical();
    let mut hops = headers.get_all(X_FORWARDED_FOR).rev().flat_map(|line| {
        let hops = line.to_str().unwrap_or("?").rsplit(',');
        hops.map(|hop| parse(hop.trim()))
    });
    while is_trusted(client) {
        // What is no address was not written by the proxy that was trusted last, so that one is all that is known.
        let Some(Some(hop)) = hops.next() else { break };
        client = hop;
    }
    match client {
        IpAddr::V4(_) => client,
        IpAddr::V6(address) => {
            let network = u128::from(address) & (u128::MAX << 64);
            Ipv6Addr::from(network).into()
        }
    }
}

/// Some proxies add the port.
fn parse(hop: &str) -> Option<IpAddr> {
    let address = hop.parse().ok().or_else(|| hop.parse().ok().map(|with_port: SocketAddr| with_port.ip()));
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
    #[case::garbage("10.0.0.0/8", "10.1.1.1", &["1.1.1.1, unknown"], "10.1.1.1")]
    #[case::garbage_behind_a_proxy("10.0.0.0/8", "10.1.1.1", &["203.0.113.5, ?, 10.2.2.2"], "10.2.2.2")]
    #[case::mapped_peer("10.0.0.0/8", "::ffff:10.1.1.1", &["::ffff:203.0.113.5"], "203.0.113.5")]
    #[case::ipv6("", "2001:db8:1:2:3:4:5:6", &[], "2001:db8:1:2::")]
    #[case::ipv6_behind_a_proxy("::1/128", "::1", &["[2001:db8::5]:1"], "2001:db8::")]
    fn the_client_is_the_right_most_address_that_is_not_trusted(
        #[case] trusted: &str,
        #[case] peer: &str,
        #[case] forwarded: &[&str],
        #[case] expected: &str,
    ) {
        let trusted: Vec<IpNet> = trusted.split(',').filter_map(|network| network.parse().ok()).collect();
        let mut headers = HeaderMap::new();
        for line in forwarded {
            headers.append(X_FORWARDED_FOR, HeaderValue::from_str(line).unwrap());
        }
        let client = client_address(peer.parse().unwrap(), &headers, &trusted);
        assert_eq!(client.to_string(), expected);
    }
}
