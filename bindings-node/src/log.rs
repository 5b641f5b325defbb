//! Hands log records to JavaScript functions. Nothing is installed before somebody asks for records.

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Once, PoisonError, RwLock};
use std::time::{SystemTime, UNIX_EPOCH};

use napi::Status;
use napi::bindgen_prelude::Unknown;
use napi::threadsafe_function::{ThreadsafeFunction, ThreadsafeFunctionCallMode};
use napi_derive::napi;
use serde_json::{Map, Value, json};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt;

/// Weak: a listener does not keep the process alive.
type Listener = ThreadsafeFunction<String, Unknown<'static>, String, Status, false, true>;

static LISTENERS: RwLock<Option<HashMap<u32, (Level, Listener)>>> = RwLock::new(None);
static NEXT: AtomicU32 = AtomicU32::new(0);
static INSTALL: Once = Once::new();

/// Hands this function each record of this process from this level up, as JSON. Answers what `stop_log` takes.
#[napi]
pub fn on_log(level: String, listener: Listener) -> napi::Result<u32> {
    let level: Level =
        level.parse().map_err(|_| napi::Error::new(Status::InvalidArg, format!("no level is `{level}`")))?;
    let id = NEXT.fetch_add(1, Ordering::Relaxed);
    change(|listeners| listeners.insert(id, (level, listener)));
    // When the host process has a subscriber of its own, that one keeps its place.
    INSTALL.call_once(|| drop(tracing_subscriber::registry().with(Forward).try_init()));
    tracing::callsite::rebuild_interest_cache();
    Ok(id)
}

/// Ends what `on_log` began.
#[napi]
pub fn stop_log(id: u32) {
    change(|listeners| listeners.remove(&id));
    tracing::callsite::rebuild_interest_cache();
}

fn change<T>(with: impl FnOnce(&mut HashMap<u32, (Level, Listener)>) -> T) -> T {
    let mut listeners = LISTENERS.write().unwrap_or_else(PoisonError::into_inner);
    with(listeners.get_or_insert_default())
}

struct Forward;

impl Forward {
    /// Calls with each listener that wants records of this level, and says whether there was one.
    fn each(metadata: &Metadata<'_>, mut with: impl FnMut(u32, &Listener)) -> bool {
        if !metadata.target().starts_with("lastgood") {
            return false;
        }
        let listeners = LISTENERS.read().unwrap_or_else(PoisonError::into_inner);
        let wanted = listeners.iter().flatten().filter(|(_, (level, _))| metadata.level() <= level);
        wanted.map(|(id, (_, listener))| with(*id, listener)).count() > 0
    }
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Forward {
    fn enabled(&self, metadata: &Metadata<'_>, _: Context<'_, S>) -> bool {
        Self::each(metadata, |_, _| {})
    }

    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let mut fields = Fields::default();
        attributes.record(&mut fields);
        if let Some(span) = context.span(id) {
            span.extensions_mut().insert(fields);
        }
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        if let Some(span) = context.span(id)
            && let Some(fields) = span.extensions_mut().get_mut::<Fields>()
        {
            values.record(fields);
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let mut fields = Fields::default();
        // The operation that it belongs to: its name, its run, its backup, its phase.
        for span in context.event_scope(event).into_iter().flat_map(|scope| scope.from_root()) {
            if let Some(known) = span.extensions().get::<Fields>() {
                fields.0.extend(known.0.clone());
            }
        }
        event.record(&mut fields);
        let message = fields.0.remove("message").unwrap_or_default();
        let metadata = event.metadata();
        let level = metadata.level().as_str().to_ascii_lowercase();
        let time = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64() * 1000.0;
        let record = json!({
            "level": level, "time": time, "target": metadata.target(), "message": message, "fields": fields.0,
        });
        let record = record.to_string();
        let mut gone = Vec::new();
        Self::each(metadata, |id, listener| {
            if listener.call(record.clone(), ThreadsafeFunctionCallMode::NonBlocking) == Status::Closing {
                gone.push(id);
            }
        });
        // The thread of a worker ended without saying so.
        for id in gone {
            change(|listeners| listeners.remove(&id));
        }
    }
}

#[derive(Default)]
struct Fields(Map<String, Value>);

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.0.insert(field.name().to_owned(), format!("{value:?}").into());
    }
    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.insert(field.name().to_owned(), value.into());
    }
    fn record_bool(&mut self, field: &Field, value: bool) {
        self.0.insert(field.name().to_owned(), value.into());
    }
    fn record_u64(&mut self, field: &Field, value: u64) {
        self.0.insert(field.name().to_owned(), value.into());
    }
    fn record_i64(&mut self, field: &Field, value: i64) {
        self.0.insert(field.name().to_owned(), value.into());
    }
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.0.insert(field.name().to_owned(), value.into());
    }
}
