//! The socket that clients connect to.

use std::{
    io,
    net::{Shutdown, SocketAddr, TcpListener},
    time::Duration,
};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use socket2::{Domain, Protocol, SockFilter, SockRef, Socket, Type};
use tokio::time::{interval, sleep, timeout};

/// Maximum connections in the accept queue.
const BACKLOG: i32 = 1024;

/// Maximum time to empty the accept queue when the listener closes. It never empties while clients hold all places.
const LAST_ACCEPTS: Duration = Duration::from_secs(1);

/// Time for TCP handshakes in progress to finish before the accept queue is checked.
const HANDSHAKES: Duration = Duration::from_millis(100);

/// The interval of these checks.
const LOOK: Duration = Duration::from_millis(2);

/// Binds `address`. Nothing is accepted yet.
///
/// # Errors
///
/// If the address is in use, or does not belong to this machine.
pub fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    // A restarted service must not wait for its old connections to time out.
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// Rejects new connections, through every handle of the socket. Connections in the accept queue or in a TCP handshake
/// are still accepted, and accepted connections are not touched.
///
/// # Errors
///
/// If the socket is not listening any more.
pub async fn refuse_new(listener: &TcpListener) -> io::Result<()> {
    // Closing the socket resets all connections in the accept queue. So new ones are stopped first.
    if drop_first_packets(listener) {
        sleep(HANDSHAKES).await;
    }
    _ = timeout(LAST_ACCEPTS, all_accepted(listener)).await;
    SockRef::from(listener).shutdown(Shutdown::Read)
}

/// Drops the packets that ask for a connection (SYN): the client retries, and is rejected once the socket is closed.
/// Packets of handshakes in progress pass. Returns false if the system does not allow the filter: then clients that
/// connect in the moment of closing are reset.
fn drop_first_packets(listener: &TcpListener) -> bool {
    const FILTER: [SockFilter; 4] = [
        // Load the byte of the TCP header that contains its flags: `BPF_LD`, `BPF_B`, `BPF_ABS`.
        SockFilter::new(0x30, 0, 0, 13),
        // Skip the next one unless SYN is set: `BPF_JMP`, `BPF_JSET`, `BPF_K`.
        SockFilter::new(0x45, 0, 1, 0x02),
        // Drop the packet, or keep it: `BPF_RET`, `BPF_K`.
        SockFilter::new(0x06, 0, 0, 0),
        SockFilter::new(0x06, 0, 0, u32::MAX),
    ];
    SockRef::from(listener).attach_filter(&FILTER).is_ok()
}

/// Resolves once the accept queue is empty, or if its state is unknown.
async fn all_accepted(listener: &TcpListener) {
    let mut looks = interval(LOOK);
    loop {
        looks.tick().await;
        let mut waiting = [PollFd::new(listener, PollFlags::IN)];
        if !matches!(poll(&mut waiting, Some(&Timespec::default())), Ok(1..)) {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        io::{ErrorKind, Read, Write},
        net::{Ipv4Addr, TcpStream},
    };

    use tokio::{join, task::yield_now};

    use super::*;

    /// Accepts until the listener is closed, and sends each client five bytes of its own back.
    async fn echo(listener: &TcpListener) -> usize {
        let mut served = 0;
        loop {
            match listener.accept() {
                Ok((mut client, _)) => {
                    let mut text = [0; 5];
                    client.set_nonblocking(false).unwrap();
                    client.set_read_timeout(Some(Duration::from_secs(2))).unwrap();
                    client.read_exact(&mut text).unwrap();
                    client.write_all(&text).unwrap();
                    served += 1;
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => yield_now().await,
                Err(_) => return served,
            }
        }
    }

    #[tokio::test]
    async fn waiting_clients_are_served_at_closing_and_later_ones_refused() {
        let listener = listen((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
        let address = listener.local_addr().unwrap();
        let mut waiting = [(); 3].map(|()| TcpStream::connect(address).unwrap());
        let late = Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP)).unwrap();
        late.set_nonblocking(true).unwrap();

        let (closed, served) = join!(refuse_new(&listener), async {
            late.connect(&address.into()).unwrap_err();
            waiting.iter_mut().for_each(|client| client.write_all(b"hello").unwrap());
            // A worker that is busy for longer than handshakes are waited for.
            sleep(3 * HANDSHAKES).await;
            echo(&listener).await
        });
        closed.unwrap();
        assert_eq!(served, 3);
        for client in &mut waiting {
            let mut answer = String::new();
            client.read_to_string(&mut answer).unwrap();
            assert_eq!(answer, "hello");
        }
        late.peer_addr().expect_err("it came too late");
        let refused = TcpStream::connect(address).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_is_never_accepted_does_not_hold_it_open() {
        let listener = listen((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
        let address = listener.local_addr().unwrap();
        let mut waiting = TcpStream::connect(address).unwrap();
        refuse_new(&listener).await.unwrap();
        assert_eq!(waiting.read(&mut [0]).unwrap_err().kind(), ErrorKind::ConnectionReset);
    }
}
