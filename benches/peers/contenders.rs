//! The contenders of the benchmark, one entry each.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use testkit::Certificate;

/// Ids that targets and groups name.
pub const FLOOR: &str = "floor";
pub const PURE: &str = "pure";
pub const DIRECT: &str = "direct";
pub const NEAR: &str = "near-cache";
pub const SERVICE: &str = "service";
pub const NO_LOG: &str = "no-log";
pub const EMBEDDED: &str = "embedded";
pub const TLS: &str = "redis-tls";
pub const CLUSTER: &str = "redis-cluster";
pub const MEMCACHED: &str = "memcached";
pub const TARANTOOL: &str = "tarantool";
pub const DEAD: &str = "redis-dead";
pub const FROZEN: &str = "redis-frozen";
pub const PUBLIC_TLS: &str = "public-tls";
pub const AXUM: &str = "axum";
pub const FASTAPI: &str = "fastapi";
pub const FASTIFY: &str = "fastify";
pub const ASSIGNMENT: &str = "http.server";

/// The second process of each reference's A/A pair.
pub const PURE_AGAIN: &str = "pure-again";
pub const DIRECT_AGAIN: &str = "direct-again";
pub const NEAR_AGAIN: &str = "near-cache-again";
pub const SERVICE_AGAIN: &str = "service-again";

/// Each reference, and the other process of its A/A pair.
pub const PAIRS: [(&str, &str); 4] =
    [(PURE, PURE_AGAIN), (DIRECT, DIRECT_AGAIN), (SERVICE, SERVICE_AGAIN), (NEAR, NEAR_AGAIN)];

/// A contender.
pub struct Contender {
    pub id: &'static str,
    pub what: &'static str,
    pub program: Program,
    pub store: Store,
    /// Whether its public listener speaks TLS.
    pub over_tls: bool,
}

/// Program of a contender.
pub enum Program {
    /// A kind of `bench/peers/rust`.
    Rust(&'static str),
    /// This service, with these settings.
    Service(Vec<&'static str>),
    Axum,
    FastApi,
    Fastify,
    HttpServer,
}

/// State of the contender's Redis during the measurement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Store {
    Redis,
    /// It speaks only TLS.
    Tls,
    /// Three primaries with a third of the slots each.
    Cluster,
    /// No Redis: the service uses its own file, with the same interests.
    Embedded,
    /// No Redis: memcached is the cache, and the interests are in the service's own file.
    Memcached,
    /// No Redis: Tarantool has both roles.
    Tarantool,
    Dead,
    Frozen,
}

/// Settings of the service with its near cache.
const NEAR_CACHE: &[&str] = &["cache.near_capacity=100000"];

/// All contenders, in the order of the report.
pub fn contenders() -> Vec<Contender> {
    let mut all = vec![
        rust(FLOOR, "actix-web answering a fixed body"),
        rust(PURE, "the same checks, digest and formula in a plain handler"),
        rust(DIRECT, "pure, and a Redis GET from the handler"),
        service(NEAR, "this service, near cache on", NEAR_CACHE, Store::Redis),
        service(
            NO_LOG,
            "the same, without its log",
            &["cache.near_capacity=100000", "log.level=error"],
            Store::Redis,
        ),
        Contender {
            over_tls: true,
            ..service(
                PUBLIC_TLS,
                "this service, near cache on, with TLS on its public listener",
                NEAR_CACHE,
                Store::Redis,
            )
        },
        service(SERVICE, "this service on Redis, near cache off", &[], Store::Redis),
        service(EMBEDDED, "this service on its embedded store", &[], Store::Embedded),
        service(TLS, "this service on Redis over TLS", &[], Store::Tls),
        service(CLUSTER, "this service on a Redis Cluster of three primaries", &[], Store::Cluster),
        service(MEMCACHED, "this service, its cache on memcached", &[], Store::Memcached),
        service(TARANTOOL, "this service on Tarantool", &[], Store::Tarantool),
        service(DEAD, "this service, its Redis killed", &[], Store::Dead),
        service(FROZEN, "this service, its Redis stopped with SIGSTOP", &[], Store::Frozen),
        peer(AXUM, "axum on tokio's multi-threaded runtime, redis-rs' connection manager", Program::Axum),
        peer(FASTIFY, "Fastify with cluster and ioredis", Program::Fastify),
        peer(FASTAPI, "FastAPI on uvicorn (uvloop, httptools), redis-py with hiredis", Program::FastApi),
        peer(
            ASSIGNMENT,
            "Python's http.server, with threads and kept connections, and redis-py",
            Program::HttpServer,
        ),
    ];
    all.extend([
        Contender { id: PURE_AGAIN, ..rust(PURE, "pure once more, for the A/A pair") },
        Contender { id: DIRECT_AGAIN, ..rust(DIRECT, "direct once more, for the A/A pair") },
        service(NEAR_AGAIN, "near-cache once more, for the A/A pair", NEAR_CACHE, Store::Redis),
        service(SERVICE_AGAIN, "service once more, for the A/A pair", &[], Store::Redis),
    ]);
    all
}

fn rust(id: &'static str, what: &'static str) -> Contender {
    peer(id, what, Program::Rust(id))
}

fn service(id: &'static str, what: &'static str, settings: &[&'static str], store: Store) -> Contender {
    Contender { store, ..peer(id, what, Program::Service(settings.to_vec())) }
}

fn peer(id: &'static str, what: &'static str, program: Program) -> Contender {
    Contender { id, what, program, store: Store::Redis, over_tls: false }
}

/// Whether this is the other process of an A/A pair.
pub fn is_again(id: &str) -> bool {
    PAIRS.iter().any(|(_, again)| *again == id)
}

/// Addresses and paths for a contender's process.
pub struct Surroundings<'a> {
    pub port: u16,
    pub admin_port: u16,
    pub workers: usize,
    pub redis: &'a str,
    pub folder: &'a Path,
}

// ===== impl Contender =====

impl Contender {
    /// Whether it has both methods, and so must pass the official cases.
    pub fn is_whole(&self) -> bool {
        !matches!(self.program, Program::Rust(_))
    }

    /// Whether its answers are checked: not if another contender is the same program with the same settings.
    pub fn is_checked(&self) -> bool {
        !is_again(self.id) && !self.over_tls
    }

    /// Whether its memory and its start are measured.
    pub fn has_footprint(&self) -> bool {
        self.is_checked() && self.store != Store::Dead && self.store != Store::Frozen
    }

    /// Whether its program has been installed.
    pub fn is_installed(&self) -> bool {
        let program = self.program();
        if matches!(self.program, Program::Fastify) {
            return installed("fastify/node_modules").is_dir();
        }
        program.is_file()
    }

    fn program(&self) -> PathBuf {
        match self.program {
            Program::Rust(_) => installed("bin/peer"),
            Program::Service(_) => installed("bin/scoring-api"),
            Program::Axum => installed("bin/axum-peer"),
            Program::FastApi => installed("fastapi/venv/bin/uvicorn"),
            Program::Fastify => "node".into(),
            Program::HttpServer => installed("httpserver/venv/bin/python"),
        }
    }

    /// The same service with one more setting, which overrides earlier ones.
    pub fn with(mut self, setting: &'static str) -> Self {
        if let Program::Service(settings) = &mut self.program {
            settings.push(setting);
        }
        self
    }

    pub fn command(&self, around: &Surroundings<'_>) -> Command {
        let Surroundings { port, admin_port, workers, redis, folder } = around;
        let mut command = Command::new(self.program());
        match &self.program {
            Program::Rust(kind) => {
                command.arg(kind);
            }
            Program::Service(settings) => {
                let has_file = matches!(self.store, Store::Embedded | Store::Memcached);
                let url = if has_file { EMBEDDED_URL } else { redis };
                for setting in [
                    format!("http.bind=127.0.0.1:{port}"),
                    format!("admin.bind=127.0.0.1:{admin_port}"),
                    format!("http.workers={workers}"),
                    format!("store.url={url}"),
                ] {
                    command.args(["--set", &setting]);
                }
                if self.store == Store::Memcached {
                    command.args(["--set", &format!("cache.url={redis}")]);
                }
                if self.store == Store::Tls {
                    command.args(["--set", &format!("store.tls_ca={}", folder.join("cert.pem").display())]);
                    command.args(["--set", &format!("store.tls_name={}", Certificate::NAME)]);
                }
                if self.over_tls {
                    command.args(["--set", &format!("http.tls.cert={}", folder.join("cert.pem").display())]);
                    command.args(["--set", &format!("http.tls.key={}", folder.join("key.pem").display())]);
                }
                for setting in settings {
                    command.args(["--set", setting]);
                }
            }
            Program::Axum => {}
            Program::FastApi => {
                command.args(["app:app", "--loop", "uvloop", "--http", "httptools"]);
                command.args(["--no-access-log", "--log-level", "warning", "--backlog", "1024"]);
                command.args(["--app-dir", &source("fastapi"), "--port", &port.to_string()]);
                command.args(["--workers", &workers.to_string()]);
            }
            Program::Fastify => {
                command
                    .arg(installed("fastify/server.js"))
                    .env("NODE_ENV", "production")
                    .env("NODE_NO_WARNINGS", "1");
            }
            Program::HttpServer => {
                command.arg(format!("{}/server.py", source("httpserver")));
            }
        }
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("SCORING_") {
                command.env_remove(name);
            }
        }
        command
            .env("PORT", port.to_string())
            .env("WORKERS", workers.to_string())
            .env("REDIS_URL", redis)
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .current_dir(folder);
        command
    }
}

/// The URL of the embedded store of a folder.
pub const EMBEDDED_URL: &str = "embedded:scoring.redb";

/// The service's program, which also fills the embedded store.
pub fn service_program() -> PathBuf {
    installed("bin/scoring-api")
}

/// Path of a file that `bench/install` has installed.
pub fn installed(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("target/peers").join(path)
}

fn source(peer: &str) -> String {
    format!("{}/bench/peers/{peer}", env!("CARGO_MANIFEST_DIR"))
}
