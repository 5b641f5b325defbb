//! Subscriptions. They are restored disabled: two subscribers must not share a slot.

use crate::engine::postgres::order::Kind;
use crate::engine::postgres::quote::{ident, idents, literal};
use crate::error::Result;

use super::draft::{Draft, Named};
use super::reader::{Reader, class};

pub(super) async fn read(reader: &mut Reader<'_>) -> Result<()> {
    const OURS: &str = "subdbid = (SELECT oid FROM pg_catalog.pg_database WHERE datname = current_database())";
    let sql = format!(
        "SELECT subname, r.rolsuper FROM pg_catalog.pg_subscription, pg_catalog.pg_roles r \
         WHERE r.rolname = current_user AND {OURS} ORDER BY subname"
    );
    let names = reader.query(&sql).await?;
    let mut readable = !names.is_empty();
    for row in names {
        if !row.flag("rolsuper")? {
            readable = false;
            let name = ident(&row.text("subname")?);
            reader.unsupported(format!("subscription {name} is left out: only a superuser can read it"));
        }
    }
    if !readable {
        return Ok(());
    }
    let since_16 = if reader.major >= 16 { "subpasswordrequired, subrunasowner, suborigin" } else { OLD_DEFAULTS };
    let since_17 = if reader.major >= 17 { "subfailover" } else { "false AS subfailover" };
    let sql = format!(
        "SELECT oid, subname, subowner, subconninfo, subslotname, subsynccommit, subpublications, subbinary, \
         substream, subtwophasestate, subdisableonerr, {since_16}, {since_17} \
         FROM pg_catalog.pg_subscription WHERE {OURS} ORDER BY oid"
    );
    for row in reader.query(&sql).await? {
        let (oid, name) = (row.oid("oid")?, row.text("subname")?);
        let owner = reader.owner(&row, "subowner")?;
        let quoted = ident(&name);
        let named = Named { kind: "SUBSCRIPTION", schema: None, name: &quoted, owner: &owner };
        let slot = row.opt("subslotname")?.map_or_else(|| "NONE".to_owned(), literal);
        let mut with = vec!["connect = false".to_owned(), format!("slot_name = {slot}")];
        let mut option = |is: bool, text: &str| {
            if is {
                with.push(text.to_owned());
            }
        };
        option(row.flag("subbinary")?, "binary = true");
        option(row.char("substream")? == 't', "streaming = on");
        option(row.char("substream")? == 'p', "streaming = parallel");
        option(row.char("subtwophasestate")? != 'd', "two_phase = on");
        option(row.flag("subdisableonerr")?, "disable_on_error = true");
        option(!row.flag("subpasswordrequired")?, "password_required = false");
        option(row.flag("subrunasowner")?, "run_as_owner = true");
        option(row.flag("subfailover")?, "failover = true");
        let commit = row.text("subsynccommit")?;
        option(commit != "off", &format!("synchronous_commit = {}", ident(&commit)));
        let origin = row.text("suborigin")?;
        option(origin != "any", &format!("origin = {}", ident(&origin)));
        let defn = format!(
            "CREATE SUBSCRIPTION {quoted} CONNECTION {} PUBLICATION {} WITH ({});\n",
            literal(&row.text("subconninfo")?),
            idents(row.list("subpublications")?),
            with.join(", ")
        );
        let draft = Draft::new("SUBSCRIPTION", None, &name, &owner)
            .post_data()
            .sql(defn, format!("DROP SUBSCRIPTION {quoted};\n"))
            .with(reader.remarks(class::SUBSCRIPTION, oid, named));
        reader.add_whole(class::SUBSCRIPTION, oid, Kind::Subscription, &name, draft);
    }
    Ok(())
}

const OLD_DEFAULTS: &str = "true AS subpasswordrequired, false AS subrunasowner, 'any' AS suborigin";
