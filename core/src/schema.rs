//! The interface as data: options, reports, progress and error codes as JSON Schema (draft 2020-12).
//!
//! The types of the Node and Python packages are made from this. `core/api.json` keeps it under review: a change of
//! the interface shows as a change of that file.

use schemars::SchemaGenerator;
use serde_json::{Value, json};

use crate::error::Code;
use crate::progress::Progress;
use crate::schedule::{Plan, ScheduleStatus};
use crate::vault::{VaultOptions, describe_verbs};

/// Describes everything that crosses into other languages: `vault` (the options of a vault), `verbs` (each with its
/// `name`, `doc`, what it `takes` beside the `options`, and its `report`), `schedule` (the `plan` that starts one and the
/// `status` of one that runs), `progress`, error `codes` (with the kind of each and when it is used), and the named
/// types under `$defs`. Texts that are paths have the format `path` or `url-or-path`.
#[must_use]
pub fn describe() -> Value {
    let mut types = SchemaGenerator::default();
    let vault = types.subschema_for::<VaultOptions>();
    let progress = types.subschema_for::<Progress>();
    let verbs = describe_verbs(&mut types);
    let schedule = json!({ "plan": types.subschema_for::<Plan>(), "status": types.subschema_for::<ScheduleStatus>() });
    let codes: Vec<Value> = Code::ALL
        .iter()
        .map(|code| json!({ "code": code.as_str(), "kind": code.kind(), "doc": code.meaning() }))
        .collect();
    json!({ "vault": vault, "verbs": verbs, "schedule": schedule, "progress": progress, "codes": codes, "$defs": types.take_definitions(true) })
}

#[cfg(test)]
mod tests {
    /// `UPDATE_API=1 cargo test -p lastgood --features schema` writes the file anew.
    #[test]
    fn the_interface_is_the_one_under_review() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/api.json");
        let now = format!("{:#}\n", super::describe());
        if std::env::var_os("UPDATE_API").is_some() {
            std::fs::write(path, &now).unwrap();
        }
        let kept = std::fs::read_to_string(path).unwrap_or_default();
        assert!(now == kept, "core/api.json is not what the code says: look at the change and run with UPDATE_API=1");
    }
}
