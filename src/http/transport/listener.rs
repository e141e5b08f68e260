//! The socket that clients connect to.

use std::{
    io,
    net::{Shutdown, SocketAddr, TcpListener},
    time::Duration,
};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use socket2::{Domain, Protocol, SockFilter, SockRef, Socket, Type};
use tokio::time::{interval, sleep, timeout};

/// Connections that may wait to be accepted.
const BACKLOG: i32 = 1024;

/// How long connections that the kernel has taken may still wait to be accepted once the listener closes. If all places are
/// taken by clients who stay, that is never.
const LAST_ACCEPTS: Duration = Duration::from_secs(1);

/// How long whoever is shaking hands has to be done with it before it is looked whether anybody waits.
const HANDSHAKES: Duration = Duration::from_millis(100);

/// How often is looked whether some of them are left.
const LOOK: Duration = Duration::from_millis(2);

/// Binds `address`. Nothing is accepted yet.
///
/// # Errors
///
/// If the address is taken or not ours.
pub fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    // A service that is started again at once must not wait for its old connections to time out.
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// Refuses new connections from now on, through whichever handle to the socket. Those that the kernel has taken by now, or is
/// about to, are still accepted, and those that were accepted are not touched.
///
/// # Errors
///
/// If the socket is no listener any more.
pub async fn refuse_new(listener: &TcpListener) -> io::Result<()> {
    // To close the socket resets whoever waits to be accepted. So first nobody new comes in.
    if drop_first_packets(listener) {
        sleep(HANDSHAKES).await;
    }
    _ = timeout(LAST_ACCEPTS, all_accepted(listener)).await;
    SockRef::from(listener).shutdown(Shutdown::Read)
}

/// Drops the packets that ask for a connection (SYN): who sent one tries again, and is refused once the socket is closed. What
/// comes from those who are shaking hands already is let through. False if the system does not allow that: then clients who
/// come in the very moment of closing are reset.
fn drop_first_packets(listener: &TcpListener) -> bool {
    const FILTER: [SockFilter; 4] = [
        // Load the byte of the TCP header that has its flags (`BPF_LD | BPF_B | BPF_ABS`).
        SockFilter::new(0x30, 0, 0, 13),
        // Skip the next one unless SYN is set (`BPF_JMP | BPF_JSET | BPF_K`).
        SockFilter::new(0x45, 0, 1, 0x02),
        // Keep nothing of the packet (`BPF_RET | BPF_K`), or all of it.
        SockFilter::new(0x06, 0, 0, 0),
        SockFilter::new(0x06, 0, 0, u32::MAX),
    ];
    SockRef::from(listener).attach_filter(&FILTER).is_ok()
}

/// Resolves once nobody waits to be accepted, or if that cannot be told.
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
    async fn who_waits_when_it_closes_is_served_and_who_comes_after_that_is_refused() {
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
    async fn who_is_never_accepted_does_not_hold_it_open() {
        let listener = listen((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
        let address = listener.local_addr().unwrap();
        let mut waiting = TcpStream::connect(address).unwrap();
        refuse_new(&listener).await.unwrap();
        assert_eq!(waiting.read(&mut [0]).unwrap_err().kind(), ErrorKind::ConnectionReset);
    }
}
