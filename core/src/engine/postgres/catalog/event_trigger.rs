//! Event triggers.

use crate::engine::postgres::order::Kind;
use crate::engine::postgres::quote::ident;
use crate::error::Result;

use super::draft::{Draft, Named};
use super::reader::{Reader, class};

pub(super) async fn read(reader: &mut Reader<'_>) -> Result<()> {
    let sql = "SELECT oid, evtname, evtevent, evtowner, evtenabled, evtfoid::regproc, \
         ARRAY(SELECT quote_literal(t) FROM unnest(evttags) t) AS tags FROM pg_catalog.pg_event_trigger ORDER BY oid";
    for row in reader.query(sql).await? {
        let (oid, name) = (row.oid("oid")?, row.text("evtname")?);
        if reader.is_member(class::EVENT_TRIGGER, oid) {
            continue;
        }
        let owner = reader.owner(&row, "evtowner")?;
        let quoted = ident(&name);
        let named = Named { kind: "EVENT TRIGGER", schema: None, name: &quoted, owner: &owner };
        let tags = row.list("tags")?.join(", ");
        let when = if tags.is_empty() { String::new() } else { format!("\n         WHEN TAG IN ({tags})") };
        let state = match row.char("evtenabled")? {
            'D' => "DISABLE",
            'A' => "ENABLE ALWAYS",
            'R' => "ENABLE REPLICA",
            _ => "",
        };
        let state = if state.is_empty() { String::new() } else { format!("\nALTER EVENT TRIGGER {quoted} {state};\n") };
        let defn = format!(
            "CREATE EVENT TRIGGER {quoted} ON {}{when}\n   EXECUTE FUNCTION {}();\n{state}",
            ident(&row.text("evtevent")?),
            row.text("evtfoid")?
        );
        let draft = Draft::new("EVENT TRIGGER", None, &name, &owner)
            .post_data()
            .sql(defn, format!("DROP EVENT TRIGGER {quoted};\n"))
            .with(reader.remarks(class::EVENT_TRIGGER, oid, named));
        reader.add_whole(class::EVENT_TRIGGER, oid, Kind::EventTrigger, &name, draft);
    }
    Ok(())
}
