//! Traces of a backup and its drill by OpenTelemetry: each verb is a span, and its log records are events within it.
//!
//! `DATABASE_URL=… BACKUP_STORE_URL=… BACKUP_ENCRYPTION_KEY_FILE=… opentelemetry`
//!
//! Standard output stands for a collector. For a real one take `opentelemetry_otlp::SpanExporter` in its place, and a
//! batch exporter: `with_batch_exporter`.

use lastgood::{Code, Error, Result, Vault};
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_sdk::trace::SdkTracerProvider;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::{Layer as _, SubscriberExt as _};
use tracing_subscriber::util::SubscriberInitExt as _;

#[tokio::main]
async fn main() -> Result<()> {
    let exporter = opentelemetry_stdout::SpanExporter::default();
    let provider = SdkTracerProvider::builder().with_simple_exporter(exporter).build();
    let traces = tracing_opentelemetry::layer().with_tracer(provider.tracer("nightly"));
    // Only what lastgood says: HTTP clients below it have spans of their own.
    let ours = Targets::new().with_target("lastgood", tracing::Level::DEBUG);
    tracing_subscriber::registry().with(traces.with_filter(ours)).init();

    let vault = Vault::from_env().await?;
    let backup = vault.backup().await?;
    vault.drill(&backup.id).await?;

    provider.shutdown().map_err(|e| Error::new(Code::Internal, format!("the last spans were not sent: {e}")))
}
