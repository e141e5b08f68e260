//! A real nginx or HAProxy in front of a service, in the foreground, with a configuration of its own in a new folder.

use std::{
    fs,
    net::{SocketAddr, TcpStream},
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

use tempfile::TempDir;

use super::{eventually, port::ReservedPort};

const START_WITHIN: Duration = Duration::from_secs(20);

/// A running proxy. Dropping it kills and reaps the process.
pub struct ReverseProxy {
    port: ReservedPort,
    process: Child,
    _folder: TempDir,
}

// ===== impl ReverseProxy =====

impl ReverseProxy {
    /// Starts nginx with these lines in its `server` block.
    ///
    /// # Panics
    ///
    /// When it is not installed.
    pub async fn nginx(upstream: SocketAddr, settings: &str) -> Self {
        Self::nginx_with(|port| {
            format!("server {{ listen {port}; {settings} location / {{ proxy_pass http://{upstream}; }} }}")
        })
        .await
    }

    /// Starts nginx with what `http` returns for its address in the `http` block.
    ///
    /// # Panics
    ///
    /// When it is not installed.
    pub async fn nginx_with(http: impl Fn(SocketAddr) -> String) -> Self {
        Self::start("nginx", |port, folder| {
            let http = http(port);
            let folder = folder.display();
            // One process, so that its end is the end of all of it.
            let config = format!(
                "daemon off; master_process off; pid {folder}/pid; error_log {folder}/log;
                 events {{ worker_connections 512; }}
                 http {{
                     access_log off;
                     client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;
                     fastcgi_temp_path {folder}/fastcgi; uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
                     {http}
                 }}"
            );
            (config, vec!["-p".into(), format!("{folder}"), "-e".into(), format!("{folder}/log"), "-c".into()])
        })
        .await
    }

    /// Starts HAProxy.
    ///
    /// # Panics
    ///
    /// When it is not installed.
    pub async fn haproxy(upstream: SocketAddr) -> Self {
        Self::haproxy_with(|port| {
            format!(
                "defaults
                     mode http
                     timeout connect 20s
                     timeout client 60s
                     timeout server 60s
                 frontend all
                     bind {port}
                     default_backend service
                 backend service
                     server service {upstream}\n"
            )
        })
        .await
    }

    /// Starts HAProxy with the configuration that `config` returns for its address.
    ///
    /// # Panics
    ///
    /// When it is not installed.
    pub async fn haproxy_with(config: impl Fn(SocketAddr) -> String) -> Self {
        Self::start("haproxy", |port, _| (config(port), vec!["-db".into(), "-q".into(), "-f".into()])).await
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.port.addr()
    }

    async fn start(program: &str, config: impl Fn(SocketAddr, &Path) -> (String, Vec<String>)) -> Self {
        let (port, folder) = (ReservedPort::new(), tempfile::tempdir().unwrap());
        let file = folder.path().join("config");
        let (config, options) = config(port.addr(), folder.path());
        fs::write(&file, config).unwrap();
        // Debian has both where the paths of some users do not lead.
        let path = format!("{}:/usr/sbin", std::env::var("PATH").unwrap_or_default());
        let process = Command::new(program)
            .env("PATH", path)
            .args(options)
            .arg(file)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| {
                panic!("{program} cannot be started ({error}): apt-get install {program}")
            });
        let proxy = Self { port, process, _folder: folder };
        eventually(START_WITHIN, "the proxy listens", async || TcpStream::connect(proxy.address()).is_ok())
            .await;
        proxy
    }
}

impl Drop for ReverseProxy {
    fn drop(&mut self) {
        _ = self.process.kill();
        _ = self.process.wait();
    }
}
