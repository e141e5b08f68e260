//! Exports spans to a collector, by OTLP over HTTP, from a thread of its own.
//!
//! The export never delays a call: a span that ends goes into a bounded queue, or is dropped and counted if the queue
//! is full. The exporter sends the queued spans, one batch after the other; a slow, lost or rejecting collector costs
//! only spans.

use std::{
    io, mem,
    sync::{Arc, mpsc as std_mpsc},
    thread,
    time::Duration,
};

use opentelemetry::{Context, KeyValue, trace::TracerProvider};
use opentelemetry_otlp::{SpanExporter as OtlpExporter, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::{
    Resource,
    error::OTelSdkResult,
    trace::{Sampler, SdkTracer, SdkTracerProvider, Span, SpanData, SpanExporter, SpanProcessor},
};
use prometheus::IntCounter;
use tokio::{
    runtime,
    sync::{mpsc, oneshot},
    time::{Instant, timeout, timeout_at},
};
use url::Url;

use super::{LAST_WORDS, settings::TraceSettings};
use crate::{resolver::Resolver, trust};

/// Spans in one batch.
const BATCH: usize = 512;

/// Time that the first span of a batch waits for others.
const GATHER: Duration = Duration::from_millis(500);

/// The export of this process' spans. When it is dropped, the queued spans are sent, if the collector accepts them in
/// time.
pub(super) struct Traces {
    provider: SdkTracerProvider,
    lost: IntCounter,
    stop: Option<oneshot::Sender<()>>,
    /// Maximum time that the end of the process waits for the queued spans.
    patience: Duration,
    done: std_mpsc::Receiver<()>,
}

/// Queues spans that have ended.
#[derive(Debug)]
struct Queue {
    spans: mpsc::Sender<SpanData>,
    lost: IntCounter,
}

/// Sends batches, and logs when that starts to fail, and when it works again.
struct Sending {
    exporter: OtlpExporter,
    timeout: Duration,
    lost: IntCounter,
    failing: bool,
}

// ===== impl Traces =====

impl Traces {
    /// Starts the export. The collector, whose name `resolver` looks up, need not exist yet.
    ///
    /// # Errors
    ///
    /// If the system has no thread for it.
    pub(super) fn start(endpoint: &Url, settings: &TraceSettings, resolver: Resolver) -> io::Result<Self> {
        let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
        // The collector is never asked over TLS, but reqwest needs a provider.
        let tls = trust::config(false).map_err(io::Error::other)?;
        let client = reqwest::Client::builder()
            .no_proxy()
            .dns_resolver(Arc::new(resolver))
            .tls_backend_preconfigured(tls)
            .timeout(settings.timeout)
            .build();
        let resource = Resource::builder_empty().with_attributes([
            KeyValue::new("service.name", env!("CARGO_PKG_NAME")),
            KeyValue::new("service.version", env!("CARGO_PKG_VERSION")),
        ]);
        let resource = resource.build();
        let mut exporter = OtlpExporter::builder()
            .with_http()
            .with_http_client(client.map_err(io::Error::other)?)
            .with_endpoint(endpoint.as_str())
            .with_timeout(settings.timeout)
            .build()
            .map_err(io::Error::other)?;
        exporter.set_resource(&resource);

        let help = "Spans that the collector did not take, or not in time.";
        let lost = IntCounter::new("scoring_trace_spans_dropped_total", help).map_err(io::Error::other)?;
        let (spans, queued) = mpsc::channel(settings.queue);
        let (stop, stopped) = oneshot::channel();
        let (ended, done) = std_mpsc::channel::<()>();
        let sending = Sending { exporter, timeout: settings.timeout, lost: lost.clone(), failing: false };
        thread::Builder::new().name("traces".to_owned()).spawn(move || {
            runtime.block_on(sending.run(queued, stopped));
            drop(ended);
        })?;
        let provider = SdkTracerProvider::builder()
            .with_sampler(Sampler::ParentBased(Box::new(Sampler::TraceIdRatioBased(settings.sample_ratio))))
            .with_resource(resource)
            .with_span_processor(Queue { spans, lost: lost.clone() })
            .build();
        Ok(Self { provider, lost, stop: Some(stop), patience: LAST_WORDS, done })
    }

    pub(super) fn tracer(&self) -> SdkTracer {
        self.provider.tracer(env!("CARGO_PKG_NAME"))
    }

    pub(super) fn leave_behind(&mut self) {
        self.patience = Duration::ZERO;
    }

    pub(super) fn lost_spans(&self) -> IntCounter {
        self.lost.clone()
    }
}

impl Drop for Traces {
    fn drop(&mut self) {
        drop(self.stop.take());
        // Resolves with an error in both cases: the export is done, or it takes too long.
        _ = self.done.recv_timeout(self.patience);
    }
}

// ===== impl Queue =====

impl SpanProcessor for Queue {
    fn on_start(&self, _: &mut Span, _: &Context) {}

    fn on_end(&self, span: SpanData) {
        if span.span_context.is_sampled() && self.spans.try_send(span).is_err() {
            self.lost.inc();
        }
    }

    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }

    fn shutdown_with_timeout(&self, _: Duration) -> OTelSdkResult {
        Ok(())
    }
}

// ===== impl Sending =====

impl Sending {
    /// Sends the queued spans, until it is stopped and the queue is empty.
    async fn run(mut self, mut queued: mpsc::Receiver<SpanData>, mut stopped: oneshot::Receiver<()>) {
        let mut batch = Vec::new();
        loop {
            tokio::select! {
                _ = &mut stopped => break,
                () = gather(&mut queued, &mut batch) => self.send(&mut batch).await,
            }
        }
        queued.close();
        while !batch.is_empty() || queued.recv_many(&mut batch, BATCH).await > 0 {
            self.send(&mut batch).await;
        }
    }

    async fn send(&mut self, batch: &mut Vec<SpanData>) {
        let spans = mem::take(batch);
        let count = spans.len() as u64;
        let sent = timeout(self.timeout, self.exporter.export(spans)).await;
        let failed = !matches!(sent, Ok(Ok(())));
        if failed {
            self.lost.inc_by(count);
        }
        match (mem::replace(&mut self.failing, failed), failed) {
            (false, true) => tracing::warn!(timed_out = sent.is_err(), "spans cannot be exported"),
            (true, false) => tracing::info!("spans are exported again"),
            (true, true) | (false, false) => {}
        }
    }
}

/// Waits for a span, and then until a batch is full or its time is over. May be dropped at any time: the received
/// spans are in `batch`.
async fn gather(queued: &mut mpsc::Receiver<SpanData>, batch: &mut Vec<SpanData>) {
    queued.recv_many(batch, BATCH).await;
    let late = Instant::now() + GATHER;
    while batch.len() < BATCH
        && timeout_at(late, queued.recv_many(batch, BATCH - batch.len())).await.is_ok_and(|more| more > 0)
    {
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering::SeqCst},
    };

    use opentelemetry::trace::{Span as _, Tracer};

    use super::*;

    #[test]
    fn a_span_that_finds_the_queue_full_is_dropped_and_counted() {
        let (spans, mut queued) = mpsc::channel(2);
        let lost = IntCounter::new("lost", "Lost spans.").unwrap();
        let provider =
            SdkTracerProvider::builder().with_span_processor(Queue { spans, lost: lost.clone() }).build();
        for name in ["one", "two", "three"] {
            provider.tracer("test").start(name).end();
        }
        assert_eq!(lost.get(), 1);
        assert_eq!(queued.try_recv().unwrap().name, "one");
    }

    #[test]
    fn row_52_a_silent_name_server_costs_the_export_one_look_up() {
        let (looked_up, (open, gate)) = (Arc::new(AtomicUsize::new(0)), std_mpsc::channel::<()>());
        let (count, gate) = (looked_up.clone(), Mutex::new(gate));
        let resolver = Resolver::new(move |_| {
            count.fetch_add(1, SeqCst);
            _ = gate.lock().unwrap().recv();
            Ok(vec![])
        });
        let settings =
            TraceSettings { endpoint: None, sample_ratio: 1.0, timeout: Duration::from_millis(10), queue: 9 };
        let endpoint = "http://collector.example:1".parse().unwrap();
        let traces = Traces::start(&endpoint, &settings, resolver).unwrap();
        let begun = std::time::Instant::now();
        for batch in 1..=3 {
            traces.tracer().start("a span").end();
            while traces.lost_spans().get() < batch {
                assert!(begun.elapsed() < Duration::from_secs(60), "batch {batch} is not given up");
                thread::park_timeout(Duration::from_millis(5));
            }
        }
        assert_eq!(looked_up.load(SeqCst), 1);
        drop(open);
    }
}
