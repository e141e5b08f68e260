use std::{
    fs, io,
    net::{Ipv4Addr, SocketAddr},
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering::SeqCst},
        mpsc,
    },
};

use futures_util::future::join_all;
use rstest::rstest;
use socket2::{Domain, Socket as RawSocket, Type};
use tokio::net::TcpStream;

use super::{super::testing::Server, *};
use crate::store::{Remedy, url::StoreUrl};

/// A limit that only a connect which goes on without end reaches.
const GENEROUS: Duration = Duration::from_secs(20);

fn target(url: &str) -> RedisTarget {
    match url.parse() {
        Ok(StoreUrl::Redis(target)) => target,
        other => panic!("{url} is {other:?}"),
    }
}

fn connector(url: &str, limit: Duration, resolver: Resolver) -> RedisConnector {
    RedisConnector::new(target(url), limit, resolver)
}

async fn connect(url: &str) -> Result<RedisConnection, BackendError> {
    connector(url, GENEROUS, Resolver::system()).establish().await
}

// ===== addresses =====

/// How the first address of a name is dead.
#[derive(Debug, Clone, Copy)]
enum Dead {
    /// Nothing listens.
    Refuses,
    /// The accept queue is full, so the kernel drops each SYN.
    Drops,
    /// The kernel connects, and nothing is ever answered.
    NeverAnswers,
    /// It answers each log-in with an error.
    NotServing,
}

/// Makes 127.0.0.2 dead at `port` until dropped.
async fn dead(port: u16, how: Dead) -> (Option<RawSocket>, Vec<TcpStream>, Option<Server>) {
    let address = SocketAddr::from((Ipv4Addr::new(127, 0, 0, 2), port));
    let listen = |backlog| {
        let socket = RawSocket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        socket.set_reuse_address(true).unwrap();
        socket.bind(&address.into()).unwrap();
        socket.listen(backlog).unwrap();
        socket
    };
    match how {
        Dead::Refuses => (None, vec![], None),
        Dead::NeverAnswers => (Some(listen(64)), vec![], None),
        Dead::Drops => {
            let socket = listen(1);
            let mut queued = Vec::new();
            for _ in 0..2 {
                queued.push(TcpStream::connect(address).await.unwrap());
            }
            (Some(socket), queued, None)
        }
        Dead::NotServing => {
            let server = Server::on(&address.to_string(), &[("PING", "-LOADING it\r\n")]).await;
            (None, vec![], Some(server))
        }
    }
}

fn two_addresses() -> Resolver {
    let addresses = [Ipv4Addr::new(127, 0, 0, 2), Ipv4Addr::LOCALHOST];
    Resolver::new(move |_| Ok(addresses.map(|ip| SocketAddr::from((ip, 0))).to_vec()))
}

#[rstest]
#[case::refuses(Dead::Refuses)]
#[case::drops_packets(Dead::Drops)]
#[case::never_answers(Dead::NeverAnswers)]
#[case::does_not_serve(Dead::NotServing)]
#[tokio::test]
async fn row_53_the_second_address_is_reached_if_the_first_is_dead(#[case] how: Dead) {
    let server = Server::start(&[]).await;
    let _dead = dead(server.address.port(), how).await;
    let url = format!("redis://redis.example:{}", server.address.port());
    let begun = Instant::now();
    let connected = connector(&url, GENEROUS, two_addresses()).establish().await;
    assert!(connected.is_ok(), "{:?}", connected.err());
    assert!(begun.elapsed() < GENEROUS / 2, "{:?}", begun.elapsed());
}

#[tokio::test]
async fn row_53_if_all_addresses_fail_each_is_named() {
    let server = Server::start(&[("PING", "-NOAUTH first\r\n")]).await;
    let port = server.address.port();
    let url = format!("redis://redis.example:{port}");
    let error = connector(&url, GENEROUS, two_addresses()).establish().await.err().unwrap();
    let refused = format!("127.0.0.2:{port}: no connection (connection refused)");
    assert_eq!(error.to_string(), format!("{refused}; 127.0.0.1:{port}: PING: access refused (NOAUTH)"));
    assert_eq!((error.kind(), error.remedy()), ("disconnected", Remedy::Reconnect));
}

// ===== names =====

#[tokio::test]
async fn row_52_a_silent_name_server_costs_one_look_up() {
    let (looked_up, (open, gate)) = (Arc::new(AtomicUsize::new(0)), mpsc::channel::<()>());
    let (count, gate) = (looked_up.clone(), Mutex::new(gate));
    let server = Server::start(&[]).await;
    let address = server.address;
    let resolver = Resolver::new(move |_| {
        count.fetch_add(1, SeqCst);
        _ = gate.lock().unwrap().recv();
        Ok(vec![address])
    });
    let url = format!("redis://redis.example:{}", address.port());
    // Both roles, and all their links.
    let roles = [(); 2].map(|()| connector(&url, Duration::from_millis(20), resolver.clone()));
    for _ in 0..10 {
        let errors = join_all(roles.iter().cycle().take(16).map(RedisConnector::establish)).await;
        for error in errors.into_iter().map(|made| made.err().unwrap()) {
            assert_eq!(error.to_string(), "the name redis.example does not resolve (no answer in time)");
            assert_eq!((error.kind(), error.remedy()), ("unresolved", Remedy::Reconnect));
        }
    }
    assert_eq!(looked_up.load(SeqCst), 1);

    // The look-up that outlived its callers serves the next one.
    open.send(()).unwrap();
    let patient = connector(&url, GENEROUS, resolver);
    assert!(patient.establish().await.is_ok());
    assert_eq!(looked_up.load(SeqCst), 1);
}

#[tokio::test]
async fn row_56_a_name_that_does_not_resolve_is_named() {
    let resolver = Resolver::new(|_| Err(io::Error::other("Name or service not known")));
    let error = connector("redis://redis.example", GENEROUS, resolver).establish().await.err().unwrap();
    let expected = "the name redis.example does not resolve (Name or service not known)";
    assert_eq!((error.kind(), error.to_string().as_str()), ("unresolved", expected));
}

#[tokio::test]
async fn row_56_a_socket_that_is_not_there_is_named() {
    let error = connect("redis+unix://ann:secret@/nowhere/redis.sock").await.err().unwrap();
    assert_eq!(error.to_string(), "/nowhere/redis.sock: no connection (no such file)");
}

// ===== passwords =====

#[tokio::test]
async fn a_password_file_is_read_at_each_connect() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("password");
    let server = Server::start(&[]).await;
    let url: StoreUrl = format!("redis://{}", server.address).parse().unwrap();
    let Ok(StoreUrl::Redis(target)) = url.with_password_file(file.clone()) else { panic!("not redis") };
    let connector = RedisConnector::new(target, GENEROUS, Resolver::system());

    for password in ["first\n", "second\n"] {
        fs::write(&file, password).unwrap();
        assert!(connector.establish().await.is_ok());
        assert!(server.asked().contains(&password.trim_end().to_owned()));
    }
    let asked = server.asked().len();
    for (contents, problem) in [(Some(""), "is empty"), (None, "cannot be read: ")] {
        match contents {
            Some(contents) => fs::write(&file, contents).unwrap(),
            None => fs::remove_file(&file).unwrap(),
        }
        let error = connector.establish().await.err().unwrap();
        assert!(
            error.to_string().starts_with(&format!("no password: {}: {problem}", file.display())),
            "{error}"
        );
        assert_eq!((error.kind(), error.remedy()), ("no_password", Remedy::Wait));
    }
    assert_eq!(server.asked().len(), asked, "without a password the server must not be asked");
}

/// Opening a pipe waits for a writer, as a file on a disk that hangs waits for the disk.
#[tokio::test]
async fn row_52_a_password_file_that_hangs_costs_one_thread() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("password");
    let made = std::process::Command::new("mkfifo").arg(&file).status().unwrap();
    assert!(made.success());
    let url: StoreUrl = "redis://127.0.0.1:1".parse().unwrap();
    let Ok(StoreUrl::Redis(target)) = url.with_password_file(file.clone()) else { panic!("not redis") };
    let connector = RedisConnector::new(target, Duration::from_millis(20), Resolver::system());
    let threads = || {
        let tasks = fs::read_dir("/proc/self/task").unwrap();
        let names = tasks.filter_map(|task| fs::read_to_string(task.ok()?.path().join("comm")).ok());
        names.filter(|name| name.trim_end() == "password").count()
    };
    for _ in 0..20 {
        let error = connector.establish().await.err().unwrap();
        assert!(error.to_string().ends_with("password: cannot be read in time"), "{error}");
    }
    // Other tests may read theirs at this moment.
    assert!(threads() < 5, "{} threads", threads());
    // Ends the thread.
    fs::write(&file, "x").unwrap();
}
