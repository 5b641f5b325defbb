//! Log records on standard error: a line of words for people, a line of JSON for machines.
//!
//! Both have all that is known of a record in one place: the event's own fields, and those of the operation that it
//! belongs to, innermost last.

use std::fmt;
use std::io::{IsTerminal, stderr};

use serde_json::{Map, Value};
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::{JsonFields, Writer};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormattedFields};
use tracing_subscriber::registry::LookupSpan;

/// Starts the log, unless the process has one.
pub(super) fn start(verbose: bool, json: bool) {
    let level = match (verbose, json) {
        (true, _) => "lastgood=debug",
        (false, true) => "lastgood=warn",
        // People are told of a failure by the command line itself.
        (false, false) => "lastgood=warn,lastgood::observe::watch=off",
    };
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| level.into());
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(stderr).fmt_fields(JsonFields::new());
    // A host that has a subscriber of its own keeps it.
    let _ = log.event_format(Lines { json, color: stderr().is_terminal() }).try_init();
}

struct Lines {
    json: bool,
    color: bool,
}

impl<S> FormatEvent<S, JsonFields> for Lines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, JsonFields>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut fields = Fields::default();
        for span in context.event_scope().into_iter().flat_map(|scope| scope.from_root()) {
            let known = span.extensions();
            let Some(known) = known.get::<FormattedFields<JsonFields>>() else { continue };
            fields.0.extend(serde_json::from_str::<Map<String, Value>>(&known.fields).unwrap_or_default());
        }
        event.record(&mut fields);
        let (level, message) = (event.metadata().level(), fields.0.remove("message").unwrap_or_default());
        if self.json {
            let mut record = Map::new();
            record.insert("timestamp".to_owned(), jiff::Timestamp::now().to_string().into());
            record.insert("level".to_owned(), level.as_str().to_ascii_lowercase().into());
            record.insert("message".to_owned(), message);
            record.insert("target".to_owned(), event.metadata().target().into());
            record.extend(fields.0);
            return writeln!(writer, "{}", Value::Object(record));
        }
        let (on, off) = if self.color { ("\x1b[1m", "\x1b[0m") } else { ("", "") };
        write!(writer, "{on}{level:5}{off} {}", word(&message))?;
        for (name, value) in fields.0.iter().filter(|(_, value)| !value.is_null()) {
            write!(writer, " {name}={}", word(value))?;
        }
        writeln!(writer)
    }
}

fn word(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

#[derive(Default)]
struct Fields(Map<String, Value>);

impl Fields {
    fn put(&mut self, field: &Field, value: impl Into<Value>) {
        self.0.insert(field.name().to_owned(), value.into());
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
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

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.put(field, value);
    }
}
