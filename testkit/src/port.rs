//! A reserved port, also while no server listens on it.
//!
//! A test that stops a store and starts it again needs the same port, and a parallel test must not get it meanwhile.
//! So a socket that never listens stays bound to it: connects are refused, the kernel does not assign the port, and a
//! server that sets `SO_REUSEADDR` (as Redis does) and names the port can listen on it.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr, TcpListener},
};

use socket2::{Domain, Socket, Type};

/// A free port of the loopback interface, held until this is dropped.
#[derive(Debug)]
pub struct ReservedPort {
    addr: SocketAddr,
    _bound: Socket,
}

// ===== impl ReservedPort =====

impl ReservedPort {
    /// Takes a port that is free now.
    pub fn new() -> Self {
        Self::at((Ipv4Addr::LOCALHOST, 0).into())
    }

    /// Takes a port that is free now, and the port at `distance` above it.
    pub fn with_another(distance: u16) -> (Self, Self) {
        loop {
            let one = Self::new();
            let other = one.addr.port().checked_add(distance).map(|port| (Ipv4Addr::LOCALHOST, port).into());
            if let Some(bound) = other.and_then(|addr| try_bind(addr).ok()) {
                let addr = bound.local_addr().unwrap().as_socket().unwrap();
                return (one, Self { addr, _bound: bound });
            }
        }
    }

    /// Takes this address of the loopback network, or a free port there if its port is 0.
    pub fn at(addr: SocketAddr) -> Self {
        let bound = bind(addr);
        let addr = bound.local_addr().unwrap().as_socket().unwrap();
        Self { addr, _bound: bound }
    }

    /// The address, with the port.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Listens on the port. Only one listener at a time is possible.
    pub fn listen(&self, backlog: i32) -> TcpListener {
        let socket = bind(self.addr);
        socket.listen(backlog).expect("a reserved port has one listener at a time");
        socket.set_nonblocking(true).unwrap();
        socket.into()
    }
}

fn bind(addr: SocketAddr) -> Socket {
    try_bind(addr).unwrap()
}

fn try_bind(addr: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    socket.set_reuse_address(true)?;
    socket.bind(&addr.into())?;
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use std::io::ErrorKind;
    use std::net::TcpStream;

    use super::*;

    #[test]
    fn a_reserved_port_refuses_while_no_server_listens_on_it() {
        let port = ReservedPort::new();
        for _ in 0..2 {
            assert_eq!(TcpStream::connect(port.addr()).unwrap_err().kind(), ErrorKind::ConnectionRefused);
            let _listener = port.listen(8);
            TcpStream::connect(port.addr()).unwrap();
        }
    }

    #[test]
    fn a_reserved_port_is_not_assigned_again() {
        let ports: Vec<_> = (0..64).map(|_| ReservedPort::new()).collect();
        let distinct: std::collections::HashSet<_> = ports.iter().map(ReservedPort::addr).collect();
        assert_eq!(distinct.len(), ports.len());
    }
}
