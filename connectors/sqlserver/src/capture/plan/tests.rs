use millstream_core::schema::{Column, TableName};
use millstream_core::schema_change::{Effect, effect};
use rand::{Rng, SeedableRng};

use super::*;
use crate::capture::instance::{CapturedColumn, Instance};
use crate::capture::shape::tests::{captured, instance, lsn, names, statement};
use crate::discover::LiveColumn;

fn name() -> TableName {
    TableName::new("dbo", "t")
}

fn following(instance: &Instance) -> Following {
    let origin =
        Origin { object: 5, made_ms: 3, change_table: instance.change_table, partitions: None, since: Lsn::ZERO };
    Following { origin, schema: shape(&name(), origin, instance, Lsn::ZERO) }
}

/// The table now: all columns that any of its instances captures and that weren't dropped.
fn table(instances: &[Instance]) -> CapturedTable {
    let mut columns: Vec<LiveColumn> = Vec::new();
    for captured in instances.iter().flat_map(|instance| &instance.columns).filter(|captured| captured.exists) {
        if columns.iter().all(|column| column.column_id != captured.column_id) {
            let CapturedColumn { column_id, column, .. } = captured.clone();
            columns.push(LiveColumn { column_id, column, computed: false, hidden: false });
        }
    }
    CapturedTable {
        object: 5,
        made_ms: 3,
        name: name(),
        columns,
        has_primary_key: true,
        unique_indexes: Vec::new(),
        partitions: None,
        instances: instances.to_vec(),
    }
}

fn reach(after: u32, upto: u32, end: u32) -> Reach {
    Reach { after: lsn(after), upto: lsn(upto), end: lsn(end) }
}

fn planned(following: &Following, instances: &[Instance], after: u32, upto: u32) -> (Vec<String>, Following) {
    match plan(&table(instances), following, Gaps::LeaveOut, lsn(after), lsn(upto)) {
        Plan::Follow(steps, following) => (steps.iter().map(shown).collect(), following.unwrap()),
        other => panic!("{other:?}"),
    }
}

fn number(lsn: Lsn) -> String {
    // A place right above or below one that a test names.
    for (offset, sign) in [(0_u128, ""), (1, "+"), (u128::MAX, "-")] {
        let whole = lsn.number().wrapping_sub(offset);
        if whole & 0xffff == 0 {
            return format!("{}{sign}", (whole >> 16) & 0xffff_ffff);
        }
    }
    lsn.to_string()
}

fn shown(step: &Step) -> String {
    match step {
        Step::Read(stretch) => {
            let columns = names(&stretch.schema).join(",");
            format!("{}..{} of {}: {columns}", number(stretch.from), number(stretch.upto), stretch.change_table)
        }
        Step::Change(Change { at, kind, statement, .. }) => {
            let statement = statement.as_deref().map(|text| format!(" by {text}")).unwrap_or_default();
            format!("{} {}{statement}", number(*at), kind.word())
        }
    }
}

fn two_columns(change_table: i32, start: u32) -> Instance {
    instance(change_table, Some(lsn(start)), vec![captured(1, "id", "int"), captured(2, "a", "int")])
}

#[test]
fn a_quiet_table_is_one_stretch() {
    let old = two_columns(7, 1);
    assert_eq!(planned(&following(&old), &[old], 100, 200).0, ["100+..200 of 7: id,a"]);
}

#[test]
fn a_newer_instance_takes_over_at_its_start_and_the_gap_is_read_again() {
    let mut old = two_columns(7, 1);
    let before = following(&old);
    old.statements.push(statement(120, "ALTER TABLE t ADD b int"));
    let mut new = two_columns(8, 150);
    new.columns.push(captured(3, "b", "int"));
    let (steps, after) = planned(&before, &[old.clone(), new.clone()], 100, 200);
    assert_eq!(
        steps,
        [
            "100+..120- of 7: id,a",
            "120 altered by ALTER TABLE t ADD b int",
            "120..150- of 7: id,a",
            "150 altered",
            "150 rows replaced",
            "150..200 of 8: id,a,b",
        ]
    );
    assert_eq!(after.origin.change_table, 8);
    // Gone over is gone over, whatever cleanup makes of the starts.
    for start in [150, 190] {
        (old.start, new.start) = (Some(lsn(start)), Some(lsn(start)));
        assert_eq!(planned(&after, &[old.clone(), new.clone()], 200, 300).0, ["200+..300 of 8: id,a,b"]);
    }
}

#[test]
fn a_gap_that_ends_soon_is_held() {
    let mut old = two_columns(7, 1);
    let before = following(&old);
    old.statements.push(statement(120, "ALTER TABLE t ADD b int"));
    let mut new = two_columns(8, 150);
    new.columns.push(captured(3, "b", "int"));
    let mut now = table(&[old.clone(), new.clone()]);
    let shown_plan = |now: &CapturedTable, upto| match plan(now, &before, Gaps::Hold, lsn(100), lsn(upto)) {
        Plan::Follow(steps, end) => (steps.iter().map(shown).collect::<Vec<_>>(), end.is_some()),
        other => panic!("{other:?}"),
    };
    let held = ["100+..120- of 7: id,a", "120 unreadable by ALTER TABLE t ADD b int"];
    let settled = ["150 settled", "150..200 of 8: id,a,b"];
    assert_eq!(shown_plan(&now, 149), (held.map(str::to_owned).to_vec(), false));
    assert_eq!(shown_plan(&now, 200), ([held, settled].concat().into_iter().map(str::to_owned).collect(), true));
    // Until the new instance is there, the old one doesn't do.
    now.instances.retain(|instance| instance.change_table == 7);
    let settled = |schema| SchemaChangeKind::Settled { schema };
    assert!(matches!(begin(&now, Gaps::Hold, reach(149, 200, 0), settled), Plan::Uncaptured));
    assert!(matches!(begin(&now, Gaps::LeaveOut, reach(149, 200, 0), settled), Plan::Follow(..)));
    // A computed column is never captured, so nothing is missed.
    now.columns.last_mut().unwrap().computed = true;
    assert!(shown_plan(&now, 200).1);
}

#[test]
fn equal_starts_are_told_apart_by_age() {
    let old = two_columns(7, 50);
    let mut new = two_columns(8, 50);
    new.columns.push(captured(3, "b", "int"));
    let steps = planned(&following(&old), &[new, old], 100, 200).0;
    assert_eq!(steps, ["100+ altered", "100+ rows replaced", "100+..200 of 8: id,a,b"]);
}

#[test]
fn an_instance_that_isn_t_ready_waits() {
    let old = two_columns(7, 1);
    let mut new = two_columns(8, 1);
    for start in [None, Some(lsn(201))] {
        new.start = start;
        assert_eq!(planned(&following(&old), &[old.clone(), new.clone()], 100, 200).0, ["100+..200 of 7: id,a"]);
    }
}

#[test]
fn a_default_makes_the_altered_shape_be_read_again_once() {
    let old = two_columns(7, 1);
    let mut new = two_columns(8, 150);
    let mut column = captured(3, "b", "int");
    column.column.default = Some("5".into());
    new.columns.push(column);
    assert_eq!(
        planned(&following(&old), &[old, new], 149, 200).0,
        ["149+..150- of 7: id,a", "150 altered", "150..200 of 8: id,a,b"]
    );
}

#[test]
fn a_dropped_column_ends_at_its_statement() {
    let mut old = two_columns(7, 1);
    let before = following(&old);
    old.columns[1].exists = false;
    old.statements.push(statement(120, "ALTER TABLE t DROP COLUMN a"));
    assert_eq!(
        planned(&before, &[old.clone()], 100, 200).0,
        ["100+..120- of 7: id,a", "120 altered by ALTER TABLE t DROP COLUMN a", "120..200 of 7: id"]
    );
    // Ahead of the reader it isn't true yet.
    assert_eq!(planned(&before, &[old], 100, 119).0, ["100+..119 of 7: id,a"]);
}

#[test]
fn a_retyped_column_is_told_before_the_rows_that_are_left() {
    let mut old = two_columns(7, 1);
    let before = following(&old);
    old.columns[1].column.source_type = "bigint".into();
    old.statements.push(statement(120, "ALTER TABLE t ALTER COLUMN a bigint"));
    let (steps, after) = planned(&before, &[old.clone()], 100, 200);
    assert_eq!(
        steps,
        ["100+ altered by ALTER TABLE t ALTER COLUMN a bigint", "100+..120- of 7: id,a", "120..200 of 7: id,a",]
    );
    assert_eq!(after.schema.columns[1].source_type, "bigint");
    // The capture process came to the statement after the upper place was asked for.
    let (steps, after) = planned(&before, &[old.clone()], 100, 110);
    assert_eq!(steps, ["100+ altered", "100+..110 of 7: id,a"]);
    let steps = planned(&after, &[old], 110, 200).0;
    assert_eq!(
        steps,
        ["110+..120- of 7: id,a", "120 altered by ALTER TABLE t ALTER COLUMN a bigint", "120..200 of 7: id,a"]
    );
}

#[test]
fn cleanup_that_overtakes_the_reader_costs_one_reading() {
    let mut old = two_columns(7, 1);
    let before = following(&old);
    old.start = Some(lsn(150));
    assert_eq!(
        planned(&before, &[old.clone()], 100, 200).0,
        ["100+ altered", "100+ rows replaced", "150..200 of 7: id,a"]
    );
    // A start right behind the place reached has lost nothing.
    old.start = Some(lsn(100).next());
    assert_eq!(planned(&before, &[old.clone()], 100, 200).0, ["100+..200 of 7: id,a"]);
    // Beyond the stretch nothing can be said before a higher place is asked for.
    old.start = Some(lsn(300));
    assert!(matches!(plan(&table(&[old]), &before, Gaps::LeaveOut, lsn(100), lsn(200)), Plan::Overtaken));
}

#[test]
fn an_instance_dropped_before_it_was_read_is_lost_only_without_a_complete_one() {
    let old = two_columns(7, 1);
    let before = following(&old);
    assert_eq!(planned(&before, &[two_columns(8, 90)], 100, 200).0, ["100+ altered", "100+..200 of 8: id,a"]);
    assert_eq!(
        planned(&before, &[two_columns(8, 150)], 100, 200).0,
        ["100+ altered", "100+ rows replaced", "150..200 of 8: id,a"]
    );
    assert!(matches!(plan(&table(&[]), &before, Gaps::LeaveOut, lsn(100), lsn(200)), Plan::Uncaptured));
}

#[test]
fn a_new_table_begins_where_its_instance_does() {
    let mut new = two_columns(8, 150);
    new.statements.push(statement(160, "ALTER TABLE t DROP COLUMN a"));
    let created = |schema| SchemaChangeKind::Created { schema, empty: false };
    let Plan::Follow(steps, _) = begin(&table(&[new.clone()]), Gaps::Hold, reach(100, 200, 0), created) else {
        panic!()
    };
    assert_eq!(
        steps.iter().map(shown).collect::<Vec<_>>(),
        ["100+ created", "150..160- of 8: id,a", "160 altered by ALTER TABLE t DROP COLUMN a", "160..200 of 8: id",]
    );
    assert!(matches!(begin(&table(&[new]), Gaps::Hold, reach(100, 149, 0), created), Plan::Uncaptured));
}

#[test]
fn what_was_changed_before_a_table_is_read_doesn_t_count() {
    let mut old = two_columns(7, 1);
    old.statements.push(statement(150, "ALTER TABLE t SWITCH TO x"));
    let created = |schema| SchemaChangeKind::Created { schema, empty: false };
    let begun = |upto| match begin(&table(std::slice::from_ref(&old)), Gaps::Hold, reach(100, upto, 250), created) {
        Plan::Follow(steps, following) => (steps.iter().map(shown).collect::<Vec<_>>(), following.unwrap()),
        other => panic!("{other:?}"),
    };
    assert_eq!(begun(120).0, ["100+ created"]);
    let (steps, following) = begun(200);
    assert_eq!(steps, ["100+ created"], "it is being read with what the statement did");
    assert_eq!(planned(&following, std::slice::from_ref(&old), 200, 300).0, ["250+..300 of 7: id,a"]);
    assert_eq!(planned(&following, &[old], 300, 400).0, ["300+..400 of 7: id,a"]);
}

/// Any instances, statements and places: the stretches of a plan follow one another and leave nothing out that
/// isn't read again; each lies within its instance; and planning in two parts ends as planning at once.
#[test]
fn plans_cover_everything() {
    let seed = std::env::var("MILLSTREAM_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or_else(rand::random);
    let mut random = rand::rngs::StdRng::seed_from_u64(seed);
    for round in 0..2_000 {
        let context = format!("MILLSTREAM_SEED={seed}, round {round}");
        let old = two_columns(7, random.random_range(1..=140));
        let before = following(&old);
        let mut instances = vec![old];
        if random.random_bool(0.7) {
            instances.push(two_columns(8, random.random_range(1..=220)));
            instances[1].columns.push(captured(3, "b", "int"));
        }
        if random.random_bool(0.2) {
            instances.remove(0);
        }
        for _ in 0..random.random_range(0..4) {
            let text = ["ALTER TABLE t ADD b int", "ALTER TABLE t DROP COLUMN a", "ALTER TABLE t ADD CHECK (1 = 1)"]
                [random.random_range(0..3)];
            let at = random.random_range(90..=210);
            for instance in &mut instances {
                instance.statements.push(statement(at, text));
                instance.statements.sort_by_key(|statement| statement.at);
                instance.columns[1].exists &= !text.contains("DROP");
            }
        }
        let gaps = if random.random_bool(0.5) { Gaps::Hold } else { Gaps::LeaveOut };
        let table = table(&instances);
        let Plan::Follow(steps, end) = plan(&table, &before, gaps, lsn(100), lsn(200)) else { continue };
        let mut next = lsn(100).next();
        let (mut read_again, mut held) = (false, false);
        let mut shape = Arc::clone(&before.schema);
        let mut place = next;
        for step in &steps {
            match step {
                Step::Change(change) => {
                    assert!(change.at >= place, "{context}: {steps:?}");
                    place = change.at;
                    held = change.then.is_none();
                    read_again |= held || effect(Some(&shape), &change.kind) == Effect::Reconcile;
                    if let Some(then) = &change.then {
                        shape = Arc::clone(&then.schema);
                    }
                }
                Step::Read(stretch) => {
                    let instance =
                        instances.iter().find(|instance| instance.change_table == stretch.change_table).unwrap();
                    assert!(instance.start.unwrap() <= stretch.from, "{context}: {steps:?}");
                    assert!(!held, "{context}: {steps:?}");
                    assert!(stretch.from == next || (stretch.from > next && read_again), "{context}: {steps:?}");
                    assert!(stretch.upto >= stretch.from && stretch.from >= place, "{context}: {steps:?}");
                    let of_instance =
                        |column: &Column| instance.columns.iter().any(|captured| captured.column.name == column.name);
                    assert!(stretch.schema.columns.iter().all(of_instance), "{context}: {steps:?}");
                    (place, next) = (stretch.upto, stretch.upto.next());
                }
            }
        }
        assert_eq!(held, end.is_none(), "{context}: {steps:?}");
        assert!(held || next == lsn(200).next(), "{context}: {steps:?}");
        let middle = lsn(random.random_range(100..200));
        let Plan::Follow(_, half) = plan(&table, &before, gaps, lsn(100), middle) else { continue };
        let Some(half) = half else { continue };
        let Plan::Follow(_, whole) = plan(&table, &half, gaps, middle, lsn(200)) else { continue };
        assert_eq!(whole, end, "{context}, divided at {middle}: {steps:?}");
    }
}

#[test]
fn what_isn_t_understood_is_read_again() {
    let mut old = two_columns(7, 1);
    let before = following(&old);
    old.statements.push(statement(120, "EXEC something"));
    old.statements.push(statement(130, "ALTER TABLE t SWITCH PARTITION 1 TO u"));
    old.statements.push(statement(140, "ALTER TABLE t ADD CONSTRAINT k CHECK (a > 0)"));
    let steps = planned(&before, &[old], 119, 150).0;
    assert_eq!(
        steps.iter().filter(|step| !step.contains(" of ")).collect::<Vec<_>>(),
        [
            "120 altered by EXEC something",
            "120 rows replaced by EXEC something",
            "130 rows replaced by ALTER TABLE t SWITCH PARTITION 1 TO u",
            "140 altered by ALTER TABLE t ADD CONSTRAINT k CHECK (a > 0)",
        ]
    );
}
