//! The library's log records on their way to Python's `logging`.
//!
//! A record is kept, as JSON, until a thread of Python that runs a verb comes by and hands it to the logger `lastgood`.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::fmt::Debug;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, Once, PoisonError};

use serde_json::{Map, Value, json};
use tokio::sync::Notify;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::Interest;
use tracing::{Event, Level, Metadata, Subscriber};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};
use tracing_subscriber::registry::LookupSpan;

/// Records that nobody takes are dropped beyond this number, the oldest first.
const MOST: usize = 10_000;

/// The level of Python's logger, in its numbers: 10 is DEBUG, 20 INFO, 30 WARNING, 40 ERROR.
static LEVEL: AtomicU8 = AtomicU8::new(30);

thread_local! {
    /// Where this thread's records go. Threads that Python made have none: no verb runs on them.
    static LOGS: RefCell<Option<Arc<Logs>>> = const { RefCell::new(None) };
}

/// Records of one process that wait for Python.
#[derive(Default)]
pub(crate) struct Logs {
    waiting: Mutex<VecDeque<String>>,
    /// Told about each record.
    pub(crate) more: Notify,
}

impl Logs {
    /// The oldest record.
    pub(crate) fn take(&self) -> Option<String> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).pop_front()
    }

    fn put(&self, record: String) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.len() == MOST {
            waiting.pop_front();
        }
        waiting.push_back(record);
        drop(waiting);
        self.more.notify_waiters();
    }
}

/// Sends this thread's records there.
pub(crate) fn attach(logs: &Arc<Logs>) {
    LOGS.set(Some(Arc::clone(logs)));
}

/// From now on records of at least this level of Python's are kept.
pub(crate) fn listen(level: u8) {
    static ONCE: Once = Once::new();
    LEVEL.store(level, Ordering::Relaxed);
    // A process that has a subscriber already is not one of Python's alone: it keeps what it has.
    ONCE.call_once(|| drop(tracing::subscriber::set_global_default(tracing_subscriber::registry().with(Bridge))));
}

struct Bridge;

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Bridge {
    fn register_callsite(&self, metadata: &'static Metadata<'static>) -> Interest {
        if metadata.target().starts_with("lastgood") { Interest::sometimes() } else { Interest::never() }
    }

    fn enabled(&self, metadata: &Metadata<'_>, _: Context<'_, S>) -> bool {
        metadata.is_span() || number(metadata.level()) >= LEVEL.load(Ordering::Relaxed)
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
        let mut all = Fields::default();
        for span in context.event_scope(event).into_iter().flat_map(|scope| scope.from_root()) {
            if let Some(fields) = span.extensions().get::<Fields>() {
                all.0.extend(fields.0.clone());
            }
        }
        event.record(&mut all);
        let message = all.0.remove("message");
        let metadata = event.metadata();
        let record = json!({
            "level": number(metadata.level()),
            "message": message,
            "target": metadata.target(),
            "fields": all.0,
        });
        LOGS.with_borrow(|logs| {
            if let Some(logs) = logs {
                logs.put(record.to_string());
            }
        });
    }
}

fn number(level: &Level) -> u8 {
    match *level {
        Level::ERROR => 40,
        Level::WARN => 30,
        Level::INFO => 20,
        Level::DEBUG => 10,
        Level::TRACE => 5,
    }
}

#[derive(Default)]
struct Fields(Map<String, Value>);

impl Fields {
    fn put(&mut self, field: &Field, value: impl Into<Value>) {
        self.0.insert(field.name().to_owned(), value.into());
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.put(field, format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field, value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, value);
    }
}
