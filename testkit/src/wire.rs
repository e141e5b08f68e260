//! HTTP byte by byte, for requests that no client library would send.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use rustls::ClientConfig;
use socket2::SockRef;
use tokio::{
    io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufStream},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::{TlsConnector, client::TlsStream};

use super::Reply;
use crate::{Certificate, Stopwatch, in_time};

/// A longer wait counts as endless.
const PATIENCE: Duration = Duration::from_secs(20);

/// A connection to a service.
pub struct Wire(BufStream<Box<dyn Transport>>);

/// The bytes below, in the clear or inside TLS.
trait Transport: AsyncRead + AsyncWrite + Send + Unpin {
    fn socket(&self) -> &TcpStream;
}

impl Transport for TcpStream {
    fn socket(&self) -> &TcpStream {
        self
    }
}

impl Transport for TlsStream<TcpStream> {
    fn socket(&self) -> &TcpStream {
        self.get_ref().0
    }
}

// ===== impl Wire =====

impl Wire {
    pub async fn to(address: SocketAddr) -> Self {
        Self::over(TcpStream::connect(address).await.unwrap())
    }

    /// The same over TLS, if the service has this certificate.
    pub async fn to_tls(address: SocketAddr, trust: &Certificate) -> io::Result<Self> {
        Self::to_tls_with(address, trust.client()).await
    }

    /// The same, with other ideas of TLS.
    pub async fn to_tls_with(address: SocketAddr, config: ClientConfig) -> io::Result<Self> {
        Self::shake_hands(TcpStream::connect(address).await?, config).await
    }

    /// The same over a connection on which nothing has been said yet.
    pub async fn shake_hands(stream: TcpStream, config: ClientConfig) -> io::Result<Self> {
        let name = Certificate::NAME.try_into().unwrap();
        Ok(Self::over(TlsConnector::from(Arc::new(config)).connect(name, stream).await?))
    }

    fn over(transport: impl Transport + 'static) -> Self {
        Self(BufStream::new(Box::new(transport)))
    }

    /// The next answer, or the error.
    pub async fn try_answer(&mut self) -> io::Result<Reply> {
        in_time(PATIENCE, self.any_answer()).await.ok_or(io::ErrorKind::TimedOut)?
    }

    /// Sends bytes, to a service that may have hung up.
    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        self.0.write_all(bytes.as_ref()).await?;
        self.0.flush().await
    }

    /// Sends a byte every 20 ms, until the service has had enough and says so.
    pub async fn drip(&mut self, byte: u8) -> Reply {
        let stopwatch = Stopwatch::start();
        let mut ticks = tokio::time::interval(Duration::from_millis(20));
        while timeout(Duration::ZERO, self.0.fill_buf()).await.is_err() {
            stopwatch.assert_within(PATIENCE, "listening");
            ticks.tick().await;
            _ = self.send([byte]).await;
        }
        Reply { took: stopwatch.took(), ..self.answer().await }
    }

    /// The next answer, interim ones aside.
    pub async fn answer(&mut self) -> Reply {
        loop {
            let reply = in_time(PATIENCE, self.any_answer()).await.expect("an answer").unwrap();
            if reply.status >= 200 {
                return reply;
            }
        }
    }

    /// The next answer, to a `HEAD`: without the body that its length announces.
    pub async fn answer_to_head(&mut self) -> Reply {
        in_time(PATIENCE, self.answer_of(true)).await.expect("an answer").unwrap()
    }

    /// Whether the service hangs up, without another word.
    pub async fn is_closed(&mut self) -> bool {
        let rest = in_time(PATIENCE, self.0.fill_buf()).await.expect("the end of the connection");
        rest.map_or(true, |rest| rest.is_empty())
    }

    /// Resolves when there is something to read, or the end.
    pub async fn answered(&mut self) {
        _ = self.0.fill_buf().await;
    }

    /// Leaves with a reset, as a client that crashed does.
    pub fn crash(self) {
        SockRef::from(self.0.get_ref().socket()).set_linger(Some(Duration::ZERO)).unwrap();
    }

    async fn any_answer(&mut self) -> io::Result<Reply> {
        self.answer_of(false).await
    }

    async fn answer_of(&mut self, is_head: bool) -> io::Result<Reply> {
        let stopwatch = Stopwatch::start();
        let mut line = self.line().await?;
        let status = line.split(' ').nth(1).and_then(|status| status.parse().ok());
        let status = status.ok_or_else(|| io::Error::other(format!("no status line: {line:?}")))?;
        let mut headers = reqwest::header::HeaderMap::new();
        loop {
            line = self.line().await?;
            let Some((name, value)) = line.split_once(": ") else { break };
            let name = name.parse::<reqwest::header::HeaderName>().unwrap();
            headers.insert(name, value.parse().unwrap());
        }
        let length =
            headers.get("content-length").map_or(0, |length| length.to_str().unwrap().parse().unwrap());
        let mut body = vec![0; if is_head { 0 } else { length }];
        self.0.read_exact(&mut body).await?;
        let body = serde_json::from_slice(&body).unwrap_or_default();
        Ok(Reply { status, headers, body, took: stopwatch.took() })
    }

    async fn line(&mut self) -> io::Result<String> {
        let mut line = String::new();
        self.0.read_line(&mut line).await?;
        Ok(line.trim_end().to_owned())
    }
}

/// A call's request.
pub fn post(body: &str) -> String {
    format!("POST /method HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n\r\n{body}", body.len())
}
