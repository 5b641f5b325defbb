#![allow(clippy::unwrap_used, clippy::expect_used)]

use super::*;
use crate::engine::postgres::archive::Section;

fn entry(id: i32, desc: &str, namespace: Option<&str>, tag: &str, defn: &str, needs: &[i32]) -> Entry {
    let section = match desc {
        "TABLE DATA" | "SEQUENCE SET" => Section::Data,
        "FK CONSTRAINT" | "INDEX" | "CONSTRAINT" | "TRIGGER" | "POLICY" | "INDEX ATTACH" => Section::PostData,
        _ => Section::PreData,
    };
    Entry {
        dump_id: id,
        desc: desc.into(),
        tag: tag.into(),
        namespace: namespace.map(str::to_owned),
        section,
        defn: defn.into(),
        dependencies: needs.to_vec(),
        ..Entry::default()
    }
}

/// A shop: orders are partitioned and refer to customers; what they use lies in `types`; `audit` stands apart.
fn shop() -> Vec<Entry> {
    let public = Some("public");
    vec![
        entry(1, "ENCODING", None, "ENCODING", "", &[]),
        entry(2, "SCHEMA", None, "types", "", &[]),
        entry(3, "SCHEMA", None, "audit", "", &[]),
        entry(4, "EXTENSION", None, "citext", "", &[]),
        entry(5, "TYPE", Some("types"), "state", "", &[2]),
        entry(6, "COMMENT", Some("types"), "TYPE state", "", &[5]),
        entry(7, "FUNCTION", public, "touch()", "", &[]),
        entry(10, "TABLE", public, "customers", "", &[4]),
        entry(11, "TABLE", public, "orders", "", &[5]),
        entry(12, "TABLE", public, "orders_2024", "", &[5]),
        entry(
            13,
            "TABLE ATTACH",
            public,
            "orders_2024",
            "ALTER TABLE ONLY public.orders ATTACH PARTITION public.orders_2024",
            &[11, 12],
        ),
        entry(14, "SEQUENCE", public, "customers_id_seq", "CREATE SEQUENCE …", &[10]),
        entry(
            15,
            "SEQUENCE OWNED BY",
            public,
            "customers_id_seq",
            "ALTER SEQUENCE public.customers_id_seq OWNED BY public.customers.id;",
            &[14],
        ),
        entry(
            16,
            "DEFAULT",
            public,
            "customers id",
            "ALTER TABLE ONLY public.customers ALTER COLUMN id SET DEFAULT …",
            &[10, 14],
        ),
        entry(17, "VIEW", public, "open_orders", "CREATE VIEW …", &[11]),
        entry(18, "TABLE", Some("audit"), "log", "", &[3]),
        entry(19, "SEQUENCE", public, "orders_id", "ALTER TABLE public.orders ALTER COLUMN id ADD GENERATED …", &[11]),
        entry(20, "TABLE DATA", public, "customers", "", &[10]),
        entry(21, "TABLE DATA", public, "orders_2024", "", &[12]),
        entry(22, "TABLE DATA", Some("audit"), "log", "", &[18]),
        entry(23, "SEQUENCE SET", public, "customers_id_seq", "", &[14]),
        entry(24, "SEQUENCE SET", public, "orders_id", "", &[19]),
        entry(30, "CONSTRAINT", public, "customers customers_pkey", "ALTER TABLE ONLY public.customers ADD …", &[10]),
        entry(31, "INDEX", public, "orders_state", "CREATE INDEX orders_state ON ONLY public.orders (state)", &[11]),
        entry(
            32,
            "INDEX",
            public,
            "orders_2024_state",
            "CREATE INDEX orders_2024_state ON public.orders_2024 (state)",
            &[12],
        ),
        entry(33, "INDEX ATTACH", public, "orders_2024_state", "", &[31, 32]),
        entry(34, "COMMENT", public, "INDEX orders_state", "", &[31]),
        entry(
            35,
            "TRIGGER",
            public,
            "orders touched",
            "CREATE TRIGGER touched BEFORE INSERT ON public.orders …",
            &[11, 7],
        ),
        entry(36, "FK CONSTRAINT", public, "orders orders_customer", "ALTER TABLE public.orders ADD …", &[11, 10, 30]),
        entry(37, "PUBLICATION", None, "all_of_it", "", &[]),
        entry(
            38,
            "PUBLICATION TABLE",
            public,
            "all_of_it orders",
            "ALTER PUBLICATION all_of_it ADD TABLE ONLY public.orders;",
            &[37, 11],
        ),
        entry(39, "ACL", None, "SCHEMA public", "", &[99]),
        entry(40, "EVENT TRIGGER", None, "ended", "", &[18]),
    ]
}

fn chosen(selection: &Selection, there: &[i32]) -> Result<(Vec<i32>, Vec<String>)> {
    let entries = shop();
    let picks = Picks::new(&entries, selection)?;
    let chosen = picks.choose(&entries, |e| there.contains(&e.dump_id))?;
    let mut ids: Vec<i32> = chosen.ids.into_iter().collect();
    ids.sort_unstable();
    Ok((ids, chosen.warnings.into_iter().map(|w| format!("{}: {}", w.code, w.message)).collect()))
}

fn tables(patterns: &[&str]) -> Selection {
    Selection { tables: patterns.iter().map(|p| (*p).to_owned()).collect(), ..Selection::default() }
}

#[test]
fn everything_is_everything() {
    let all: Vec<i32> = shop().iter().map(|e| e.dump_id).collect();
    assert_eq!(chosen(&Selection::default(), &[]).unwrap(), (all, vec![]));
}

#[test]
fn a_table_takes_along_what_belongs_to_it_and_what_it_needs() {
    let (ids, warnings) = chosen(&tables(&["orders"]), &[]).unwrap();
    assert_eq!(ids, [1, 2, 5, 6, 7, 11, 12, 13, 19, 21, 24, 31, 32, 33, 34, 35]);
    assert_eq!(
        warnings,
        [
            "foreign_key_left_out: FK CONSTRAINT public.orders orders_customer is left out: it refers to TABLE public.customers, which was not selected"
        ]
    );
    let (ids, _) = chosen(&tables(&["public.cust*"]), &[]).unwrap();
    assert_eq!(ids, [1, 4, 10, 14, 15, 16, 20, 23, 30]);
}

#[test]
fn what_the_target_has_is_not_brought_along() {
    let (ids, _) = chosen(&tables(&["orders"]), &[2, 5, 10]).unwrap();
    assert_eq!((ids.contains(&5), ids.contains(&6), ids.contains(&36)), (false, false, false));
    assert!(ids.contains(&7));
}

#[test]
fn a_partition_alone_is_a_table_of_its_own() {
    let (ids, warnings) = chosen(&tables(&["orders_2024"]), &[]).unwrap();
    assert_eq!(ids, [1, 2, 5, 6, 12, 21, 32]);
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert!(warnings[0].contains("TABLE ATTACH public.orders_2024 is left out: it needs TABLE public.orders"));
    // Where its parent is, it is attached again.
    let (ids, warnings) = chosen(&tables(&["orders_2024"]), &[11]).unwrap();
    assert!(ids.contains(&13) && warnings.is_empty(), "{ids:?} {warnings:?}");
}

#[test]
fn what_is_excluded_takes_its_own_with_it() {
    let selection = Selection {
        exclude_schemas: vec!["audit".into()],
        exclude_tables: vec!["orders".into()],
        ..Selection::default()
    };
    let (ids, warnings) = chosen(&selection, &[]).unwrap();
    assert_eq!(ids, [1, 2, 4, 5, 6, 7, 10, 14, 15, 16, 20, 23, 30, 37, 39]);
    assert_eq!(warnings.len(), 2, "{warnings:?}");
    assert!(warnings.iter().any(|w| w.contains("VIEW public.open_orders is left out: it needs TABLE public.orders")));
    assert!(warnings.iter().any(|w| w.contains("EVENT TRIGGER ended is left out: it needs TABLE audit.log")));
}

#[test]
fn definitions_or_rows_alone() {
    let schema_only = Selection { schema_only: true, ..tables(&["customers"]) };
    assert_eq!(chosen(&schema_only, &[]).unwrap().0, [1, 4, 10, 14, 15, 16, 30]);
    let data_only = Selection { data_only: true, ..tables(&["customers", "orders"]) };
    assert_eq!(chosen(&data_only, &[]).unwrap().0, [1, 20, 21, 23, 24]);
    let data_only = Selection { data_only: true, exclude_schemas: vec!["audit".into()], ..Selection::default() };
    assert_eq!(chosen(&data_only, &[]).unwrap().0, [1, 20, 21, 23, 24]);
    let without = Selection { exclude_data: vec!["orders".into(), "log".into()], ..Selection::default() };
    let left: Vec<i32> = shop().iter().map(|e| e.dump_id).filter(|id| ![21, 22].contains(id)).collect();
    assert_eq!(chosen(&without, &[]).unwrap().0, left);
}

#[test]
fn a_schema_is_taken_whole_and_without_what_is_of_the_database() {
    let selection = Selection { schemas: vec!["audit".into()], ..Selection::default() };
    assert_eq!(chosen(&selection, &[]).unwrap().0, [1, 3, 18, 22]);
    let both = Selection { schemas: vec!["aud*".into()], ..tables(&["customers"]) };
    assert_eq!(chosen(&both, &[]).unwrap().0, [1, 3, 4, 10, 14, 15, 16, 18, 20, 22, 23, 30]);
}

#[test]
fn a_table_that_lacks_something_is_refused_and_a_view_left_out() {
    let selection = Selection { exclude_schemas: vec!["types".into()], ..tables(&["orders"]) };
    let e = chosen(&selection, &[]).unwrap_err();
    assert_eq!(e.code(), Code::IncompleteSelection);
    assert!(e.message().contains("TABLE public.orders") && e.message().contains("TYPE types.state"), "{e}");
    assert!(chosen(&selection, &[5]).is_ok(), "the target has it");
    let (ids, warnings) = chosen(&tables(&["open_orders"]), &[]).unwrap();
    assert_eq!((ids, warnings.len()), (vec![1], 1));
}

#[test]
fn a_pattern_that_names_nothing_is_an_error_with_near_names() {
    let e = chosen(&tables(&["custmers"]), &[]).unwrap_err();
    assert_eq!(e.code(), Code::NothingSelected);
    assert!(e.to_string().contains("custmers") && e.to_string().contains("public.customers"), "{e}");
    let e = chosen(&Selection { exclude_schemas: vec!["audits".into()], ..Selection::default() }, &[]).unwrap_err();
    assert!(e.to_string().contains("did you mean audit?"), "{e}");
}

#[test]
fn rows_of_a_partition_are_loaded_without_the_root_that_is_not_there() {
    let mut data = entry(2, "TABLE DATA", Some("a"), "P 1", "-- load via partition root a.p", &[1]);
    data.copy = Some("COPY a.p (x) FROM stdin;\n".into());
    let root = entry(3, "TABLE", Some("a"), "p", "", &[]);
    let mut entries = vec![entry(1, "TABLE", Some("a"), "P 1", "", &[]), data, root];
    let mut both = entries.clone();
    keep(&mut both, &[1, 2, 3].into());
    assert_eq!(both, entries);
    keep(&mut entries, &[1, 2].into());
    assert_eq!(entries[1].copy.as_deref(), Some("COPY a.\"P 1\" (x) FROM stdin;\n"));
}
