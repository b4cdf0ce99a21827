//! Logs to standard error (`RUST_LOG`), and OTLP traces if the usual `OTEL_*` variables name an endpoint.

use std::{io::IsTerminal, sync::Arc};

use anyhow::Result;
use opentelemetry::{propagation::TextMapPropagator, trace::TracerProvider as _};
use opentelemetry_otlp::SpanExporter;
use opentelemetry_sdk::{propagation::TraceContextPropagator, trace::SdkTracerProvider};
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt;
use tracing_subscriber::{EnvFilter, Layer, filter::Targets, layer::SubscriberExt, util::SubscriberInitExt};

/// Keeps the exporter running; dropping it sends the remaining traces.
pub struct Telemetry(Option<SdkTracerProvider>);

/// Links an attempt's span to the trace of the event's producer.
pub type JoinTrace = Arc<dyn Fn(&Span, &str) + Send + Sync>;

const ENDPOINTS: [&str; 2] = ["OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"];

impl Telemetry {
    /// Has to be called before the async runtime is started: the exporter has its own thread and client.
    pub fn start() -> Result<Self> {
        let filter =
            EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info,weirgate::attempt=warn"));
        let terminal = std::io::stderr().is_terminal();
        // Without a reader of standard error the server continues: reporting that there would end a thread.
        let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_ansi(terminal);
        let lines = lines.log_internal_errors(false).with_filter(filter);
        let lines = tracing_subscriber::registry().with(lines);
        let provider = exporter()?;
        match &provider {
            // No layer, rather than an absent one: that would make a span of each attempt, which none of the layers wants.
            None => lines.try_init()?,
            Some(provider) => {
                let spans = tracing_opentelemetry::layer().with_tracer(provider.tracer("weirgate"));
                let filter = Targets::new().with_target("weirgate", tracing::Level::INFO);
                lines.with(spans.with_filter(filter)).try_init()?;
            }
        }
        Ok(Self(provider))
    }

    /// `None` if nothing is exported: then there is no need for trace contexts.
    pub fn join_trace(&self) -> Option<JoinTrace> {
        self.0.as_ref()?;
        Some(Arc::new(|span, traceparent| {
            let carrier = std::collections::HashMap::from([("traceparent".to_owned(), traceparent.to_owned())]);
            // A span that is filtered out has no context to set.
            let _ = span.set_parent(TraceContextPropagator::new().extract(&carrier));
        }))
    }
}

impl Drop for Telemetry {
    fn drop(&mut self) {
        if let Some(Err(error)) = self.0.take().map(|provider| provider.shutdown()) {
            crate::output::note(&format!("the last traces could not be sent: {error}"));
        }
    }
}

fn exporter() -> Result<Option<SdkTracerProvider>> {
    if !ENDPOINTS.iter().any(|name| std::env::var_os(name).is_some()) {
        return Ok(None);
    }
    let exporter = SpanExporter::builder().with_http().build()?;
    let mut resource = opentelemetry_sdk::Resource::builder();
    if std::env::var_os("OTEL_SERVICE_NAME").is_none() {
        resource = resource.with_service_name("weirgate");
    }
    Ok(Some(SdkTracerProvider::builder().with_batch_exporter(exporter).with_resource(resource.build()).build()))
}
