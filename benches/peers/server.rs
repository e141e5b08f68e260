//! A contender as processes: starting and stopping them, and the kernel's numbers about them.

use std::{
    fs,
    io::{BufWriter, Write as _},
    net::TcpStream,
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process_group};
use rustls::ClientConfig;
use tempfile::TempDir;
use testkit::{
    Certificate, ClusterGroup, MemcachedServer, RedisServer, ReservedPort, TarantoolServer,
    bench::client::Target, eventually,
};
use tokio::time::sleep;

use crate::{
    contenders::{Contender, EMBEDDED_URL, Store, Surroundings, service_program},
    workloads::{CLIENTS, Workload, interests_of},
};

const STARTS_WITHIN: Duration = Duration::from_secs(20);

/// One poll for work that goes on after a load, and the most of them.
const IDLE_POLL: Duration = Duration::from_millis(30);
const MOST_POLLS: u32 = 150;

/// Unit of the kernel's CPU time for every program, on every architecture that we know of.
const TICKS_PER_SECOND: f64 = 100.0;

/// A running contender, and its Redis.
pub struct Server {
    redis: Redis,
    pub target: Target,
    /// Time from the start of its process to its first answer.
    pub first_answer: Duration,
    /// The certificate of a public listener with TLS.
    certificate: Option<Certificate>,
    port: ReservedPort,
    _admin_port: ReservedPort,
    group: Group,
    _folder: Option<TempDir>,
}

/// The servers of the store.
enum Redis {
    One(RedisServer),
    Cluster(ClusterGroup),
    Memcached(MemcachedServer),
    Tarantool(TarantoolServer),
    /// That of another instance, at this URL.
    OfAnother(String),
}

/// A process and its descendants, in a process group of their own. Dropping it kills them all.
struct Group(Child);

// ===== impl Server =====

impl Server {
    /// Starts it with an empty cache and all interests, and its Redis in the given state.
    pub async fn start(contender: &Contender) -> Self {
        let folder = tempfile::tempdir().unwrap();
        if matches!(contender.store, Store::Embedded | Store::Memcached) {
            import(folder.path(), EMBEDDED_URL, CLIENTS);
        }
        let server = Self::start_in(contender, folder.path()).await;
        Self { _folder: Some(folder), ..server }
    }

    /// The same in a folder that already has its embedded store.
    pub async fn start_in(contender: &Contender, folder: &Path) -> Self {
        let redis = Redis::start(contender.store, folder).await;
        Self::start_on(redis, contender, folder).await
    }

    /// One more instance, on the Redis of another one.
    pub async fn start_beside(other: &Self, contender: &Contender) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let redis = Redis::OfAnother(other.redis.url(contender.store));
        let server = Self::start_on(redis, contender, folder.path()).await;
        Self { _folder: Some(folder), ..server }
    }

    async fn start_on(redis: Redis, contender: &Contender, folder: &Path) -> Self {
        let (port, admin_port) = (ReservedPort::new(), ReservedPort::new());
        let around = Surroundings {
            port: port.addr().port(),
            admin_port: admin_port.addr().port(),
            workers: workers(),
            redis: &redis.url(contender.store),
            folder,
        };
        let certificate = contender.over_tls.then(Certificate::new);
        if let Some(certificate) = &certificate {
            certificate.write(folder);
        }
        let begun = Instant::now();
        let group = Group::spawn(contender.command(&around));
        let target = Target::new(port.addr(), admin_port.addr());
        let call = &Workload::Cached.bodies()[0];
        let mut first_answer = Duration::ZERO;
        eventually(STARTS_WITHIN, contender.id, async || {
            let answers = if contender.over_tls {
                target.is_ready().await
            } else {
                TcpStream::connect(port.addr()).is_ok()
                    && target.post(call).await.is_ok_and(|answer| answer.code == 200)
            };
            first_answer = begun.elapsed();
            answers
        })
        .await;
        target.disconnect();
        let server = Self {
            redis,
            target,
            first_answer,
            certificate,
            port,
            _admin_port: admin_port,
            group,
            _folder: None,
        };
        server.settle(contender.store).await;
        server
    }

    /// Puts its Redis into the state for the measurement, and waits until the service has noticed.
    async fn settle(&self, store: Store) {
        match store {
            Store::Redis
            | Store::Tls
            | Store::Cluster
            | Store::Embedded
            | Store::Memcached
            | Store::Tarantool => return,
            Store::Dead => self.redis.servers().iter().for_each(|server| server.kill9()),
            Store::Frozen => self.redis.servers().iter().for_each(|server| server.sigstop()),
        }
        eventually(STARTS_WITHIN, "the service knows that its Redis is gone", async || {
            self.target.readiness().await.1 == "degraded"
        })
        .await;
    }

    pub fn port(&self) -> u16 {
        self.port.addr().port()
    }

    /// URL of the public listener.
    pub fn url(&self) -> String {
        let scheme = if self.certificate.is_some() { "https" } else { "http" };
        format!("{scheme}://127.0.0.1:{}", self.port())
    }

    /// A TLS client that trusts its certificate.
    pub fn tls_client(&self) -> ClientConfig {
        self.certificate.as_ref().expect("its listener speaks TLS").client()
    }

    /// Waits until it has finished the calls that were cut off at the end of a load, so that they do not burden the next
    /// contender.
    pub async fn idle(&self) {
        let mut before = self.cpu();
        for _ in 0..MOST_POLLS {
            sleep(IDLE_POLL).await;
            let after = self.cpu();
            // One tick of its own timers is allowed.
            if after - before < 1.5 / TICKS_PER_SECOND {
                return;
            }
            before = after;
        }
    }

    /// Seconds of CPU, user and system, of all its processes.
    pub fn cpu(&self) -> f64 {
        seconds(self.group.stats().iter())
    }

    /// Current memory of all its processes, in KiB. Shared pages count for each process.
    pub fn rss_kib(&self) -> u64 {
        self.group.status("VmRSS:")
    }

    /// Sum of the peak memory of each process, in KiB.
    pub fn peak_rss_kib(&self) -> u64 {
        self.group.status("VmHWM:")
    }

    /// Seconds of CPU of its Redis, memcached or Tarantool.
    pub async fn redis_cpu(&self, store: Store) -> f64 {
        let of_process = |id: u32| seconds(stat(&id.to_string()).iter());
        match &self.redis {
            Redis::Memcached(server) => return of_process(server.id()),
            Redis::Tarantool(server) => return of_process(server.id()),
            Redis::One(_) | Redis::Cluster(_) | Redis::OfAnother(_) => {}
        }
        self.redis_info(store, &["used_cpu_sys", "used_cpu_user"]).await
    }

    /// The sum of these fields of `INFO` from its servers; 0 without a Redis that answers.
    pub async fn redis_info(&self, store: Store, names: &[&str]) -> f64 {
        if !matches!(store, Store::Redis | Store::Tls | Store::Cluster) {
            return 0.0;
        }
        let field = |line: &str| {
            let (name, value) = line.split_once(':')?;
            names.contains(&name).then(|| value.trim().parse::<f64>().ok())?
        };
        let mut sum = 0.0;
        for server in self.redis.servers() {
            let info: String = server.command(&["INFO"]).await;
            sum += info.lines().filter_map(field).sum::<f64>();
        }
        sum
    }
}

// ===== impl Redis =====

impl Redis {
    /// Starts the servers, with all interests.
    async fn start(store: Store, folder: &Path) -> Self {
        match store {
            Store::Redis | Store::Embedded | Store::Dead | Store::Frozen => {
                let redis = RedisServer::start().await;
                fill(&redis).await;
                Self::One(redis)
            }
            Store::Tls => {
                let certificate = Certificate::new();
                certificate.write(folder);
                let redis = RedisServer::over_tls(&certificate, &[]).await;
                fill(&redis).await;
                Self::One(redis)
            }
            Store::Memcached => Self::Memcached(MemcachedServer::start().await),
            Store::Tarantool => {
                let server = TarantoolServer::start().await;
                import(folder, &server.import_url(), CLIENTS);
                Self::Tarantool(server)
            }
            Store::Cluster => {
                let group = ClusterGroup::with(3, &[]).await;
                import(folder, &group.url(), CLIENTS);
                Self::Cluster(group)
            }
        }
    }

    fn url(&self, store: Store) -> String {
        match self {
            Self::One(redis) if store == Store::Tls => format!("rediss://{}", redis.addr()),
            Self::One(redis) => redis.url(),
            Self::Cluster(group) => group.url(),
            Self::Memcached(server) => server.url(),
            Self::Tarantool(server) => server.url(),
            Self::OfAnother(url) => url.clone(),
        }
    }

    fn servers(&self) -> &[RedisServer] {
        match self {
            Self::One(redis) => std::slice::from_ref(redis),
            Self::Cluster(group) => &group.servers,
            Self::Memcached(_) | Self::Tarantool(_) | Self::OfAnother(_) => &[],
        }
    }
}

// ===== impl Group =====

impl Group {
    fn spawn(mut command: Command) -> Self {
        use std::os::unix::process::CommandExt as _;

        let command = command.process_group(0).stdin(Stdio::null()).stdout(Stdio::null());
        Self(command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}")))
    }

    /// For each process: its id, and its [`stat`].
    fn processes(&self) -> Vec<(String, Vec<u64>)> {
        let ids =
            fs::read_dir("/proc").unwrap().filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        let group = u64::from(self.0.id());
        ids.filter(|id| id.bytes().all(|byte| byte.is_ascii_digit()))
            .filter_map(|id| stat(&id).map(|fields| (id, fields)))
            .filter(|(_, fields)| fields.get(1) == Some(&group) && fields.len() > 11)
            .collect()
    }

    fn stats(&self) -> Vec<Vec<u64>> {
        self.processes().into_iter().map(|(_, fields)| fields).collect()
    }

    fn status(&self, field: &str) -> u64 {
        let one = |(id, _): (String, Vec<u64>)| {
            let text = fs::read_to_string(format!("/proc/{id}/status")).ok()?;
            let line = text.lines().find_map(|line| line.strip_prefix(field))?.to_owned();
            line.split_whitespace().next()?.parse::<u64>().ok()
        };
        self.processes().into_iter().filter_map(one).sum()
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        _ = kill_process_group(Pid::from_child(&self.0), Signal::KILL);
        _ = self.0.wait();
    }
}

/// The fields of `/proc/…/stat` after the process state.
fn stat(id: &str) -> Option<Vec<u64>> {
    let text = fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
    // The program's name stands in brackets, and may contain any character.
    let fields = text.rsplit_once(") ")?.1.split(' ').skip(1);
    Some(fields.map(|field| field.trim().parse().unwrap_or(0)).collect())
}

/// Seconds of CPU, user and system.
fn seconds<'a>(stats: impl Iterator<Item = &'a Vec<u64>>) -> f64 {
    stats.map(|stat| stat[10] + stat[11]).sum::<u64>() as f64 / TICKS_PER_SECOND
}

/// Seconds of CPU of this process, which generates the load at a fixed rate.
pub fn own_cpu() -> f64 {
    seconds(stat("self").iter())
}

/// One worker for each core.
pub fn workers() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

async fn fill(redis: &RedisServer) {
    let pairs: Vec<_> = (1..=CLIENTS)
        .flat_map(|id| [format!("i:{id}"), serde_json::to_string(&interests_of(id)).unwrap()])
        .collect();
    let words: Vec<_> = ["MSET"].into_iter().chain(pairs.iter().map(String::as_str)).collect();
    redis.command::<()>(&words).await;
}

/// Imports this many clients' interests. Returns the time it took.
pub fn import(folder: &Path, url: &str, clients: i64) -> Duration {
    let begun = Instant::now();
    let mut running = Command::new(service_program())
        .args(["--set", &format!("store.url={url}"), "interests", "import", "--piecewise", "-"])
        .current_dir(folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut lines = BufWriter::new(running.stdin.take().unwrap());
    for id in 1..=clients {
        writeln!(lines, "{}", serde_json::json!({ "id": id, "interests": interests_of(id) })).unwrap();
    }
    drop(lines);
    assert!(running.wait().unwrap().success(), "the store is filled");
    begun.elapsed()
}
