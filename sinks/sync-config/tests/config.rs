//! The file: what is accepted, what is refused, and where faults point.

use millstream_sync_config::{Draft, SyncConfig};

use crate::fixture::{self, SHOP, config, report};

fn faults(text: &str) -> String {
    report(&SyncConfig::parse(text, "f.yaml").expect_err("the config is sound"))
}

#[test]
fn ten_faults_are_reported_at_once() {
    let text = include_str!("configs/ten-faults.yaml");
    let found = SyncConfig::parse(text, "ten-faults.yaml").unwrap_err();
    assert_eq!(report(&found), include_str!("configs/ten-faults.txt"));
}

#[test]
fn both_editions_and_all_options_are_accepted() {
    for head in [
        "",
        "config: {}\n",
        "config: {edition: 1}\n",
        "config: {edition: 2, storage_version: 2, custom_postgres_types: false}\n",
        "config: {timestamps_iso8601: true, timestamp_max_precision: nanoseconds}\n",
        "config: {versioned_bucket_ids: false, fixed_json_extract: true, edition: 1}\n",
    ] {
        let config = config(&format!("{head}bucket_definitions: {{b: {{data: [SELECT * FROM t]}}}}"));
        assert_eq!(config.warnings(), [], "{head}");
    }
}

#[test]
fn streams_are_refused_at_their_place() {
    assert_eq!(
        faults("config:\n  edition: 3\nwith:\n  a: SELECT 1\nstreams:\n  s:\n    query: SELECT * FROM t\n"),
        "f.yaml:2:12: error: edition 3 isn't supported: Millstream reads bucket definitions, not sync streams (write `bucket_definitions`, with edition 1 or 2)\n\
         f.yaml:3:1: error: `with` isn't supported: Millstream reads bucket definitions, not sync streams (write `bucket_definitions`, with edition 1 or 2)\n\
         f.yaml:5:1: error: `streams` isn't supported: Millstream reads bucket definitions, not sync streams (write `bucket_definitions`, with edition 1 or 2)\n"
    );
}

#[test]
fn what_isnt_a_config_is_said_so() {
    for (text, expected) in [
        ("", "f.yaml:1:1: error: the file is empty (add `bucket_definitions:`)\n"),
        ("# nothing\n", "f.yaml:1:1: error: the file is empty (add `bucket_definitions:`)\n"),
        ("- a\n", "f.yaml:1:1: error: a sync config must be a mapping, not a list\n"),
        ("config: {edition: 2}\n", "f.yaml:1:1: error: there are no `bucket_definitions`\n"),
        ("bucket_definitions:\n", "f.yaml:1:19: error: `bucket_definitions` must be a mapping, not nothing\n"),
        ("bucket_definitions: {}\n---\na: 1\n", "f.yaml:2:1: error: the file holds a second YAML document\n"),
        (
            "bucket_definitions: {b: {data: [SELECT * FROM t]}, b: {data: [SELECT * FROM t]}}",
            "f.yaml:1:52: error: the key `b` stands here twice\n",
        ),
        (
            "bucket_definitions: {b: {data: [!env SELECT]}}",
            "f.yaml:1:33: error: the tag `!env` has no meaning here\n\
             f.yaml:1:38: error: the query reads no table (add FROM and a table)\n",
        ),
        (
            "bucket_definitions: {b: {data: [*a]}}",
            "f.yaml:1:33: error: this isn't YAML: while parsing node, found unknown anchor\n",
        ),
    ] {
        assert_eq!(faults(text), expected, "{text}");
    }
    assert_eq!(faults("bucket_definitions: [\n"), "f.yaml:1:21: error: this isn't YAML: unclosed bracket '['\n");
    assert_eq!(
        faults("a: b: c\n"),
        "f.yaml:1:5: error: this isn't YAML: mapping values are not allowed in this context\n"
    );
    let nested = |levels: usize| format!("bucket_definitions: {}{}", "[".repeat(levels), "]".repeat(levels));
    assert_eq!(faults(&nested(40)), "f.yaml:1:52: error: nested more than 32 levels deep\n");
    assert_eq!(faults(&nested(5000)), "f.yaml:1:276: error: this isn't YAML: recursion limit exceeded\n");
}

#[test]
fn aliases_stand_for_what_they_name() {
    let config = config(
        "bucket_definitions:
  a: &shared
    data: &queries
      - SELECT * FROM t
  b: *shared
  c:
    data: *queries
",
    );
    assert_eq!(config.definitions().iter().map(|found| found.name()).collect::<Vec<_>>(), ["a", "b", "c"]);
}

#[test]
fn long_and_deep_expressions_are_read_or_refused() {
    let with = |condition: &str| {
        let text = format!("bucket_definitions:\n  b:\n    data:\n      - SELECT * FROM t WHERE {condition}\n");
        SyncConfig::parse(&text, "f.yaml").map(|_| ()).map_err(|faults| report(&faults))
    };
    let nested =
        |before: &str, after: &str, levels: usize| format!("{}a{}", before.repeat(levels), after.repeat(levels));
    assert_eq!(with(&nested("", " OR a", 9000)), Ok(()));
    assert_eq!(with(&nested("(", ")", 60)), Ok(()));
    assert_eq!(with(&nested("upper(", ")", 60)), Ok(()));
    assert_eq!(with(&nested("", " || a", 190)), Ok(()));
    for (condition, expected) in [
        (nested("(", ")", 100), "brackets nest more than 64 levels deep"),
        (nested("NOT ", "", 100), "brackets nest more than 64 levels deep"),
        (nested("- ", "", 100), "brackets nest more than 64 levels deep"),
        (nested("upper(", ")", 5000), "brackets nest more than 64 levels deep"),
        (nested("", " || a", 300), "the expression nests more than 200 levels deep"),
        (nested("", "::text", 300), "the expression nests more than 200 levels deep"),
        (nested("", " IS NULL", 300), "the expression nests more than 200 levels deep"),
        (nested("", " + a", 15000), "the query is longer than 20000 words"),
    ] {
        let fault = with(&condition).unwrap_err();
        assert!(fault.contains(expected), "{fault}");
    }
}

/// The fault of one query, in a file where it stands at line 4, column 9.
fn data_fault(query: &str) -> String {
    let text = format!(
        "bucket_definitions:\n  b:\n    data:\n      - {query}\n    parameters: SELECT request.user_id() AS u, request.jwt() ->> 'v' AS v\n"
    );
    faults(&text)
}

#[test]
fn faults_of_data_queries_point_at_the_place() {
    for (query, expected) in [
        ("SELEC * FROM t", "4:9: error: found `SELEC` where SELECT is expected (did you mean `select`?)"),
        ("SELECT * FORM t", "4:18: error: found `FORM` where the end of the query is expected"),
        ("SELECT id, FROM t", "4:20: error: found `FROM` where an expression is expected"),
        (
            "SELECT * FROM t WHERE u = bucket.u AND v = bucket.w",
            "4:59: error: there is no bucket parameter `w` (the definition's parameters are u, v)",
        ),
        (
            "SELECT * FROM t WHERE u = bucket.u",
            "4:31: error: the query must use every bucket parameter; it lacks bucket.v (add bucket.v = a column to its WHERE)",
        ),
        (
            "SELECT * FROM t",
            "4:9: error: the query must use every bucket parameter; it lacks bucket.u, bucket.v (add bucket.u and bucket.v = a column to its WHERE)",
        ),
        (
            "SELECT * FROM t WHERE u = bucket.u OR v = bucket.v",
            "4:47: error: both sides of an OR must use the same parameters (write a query for each side)",
        ),
        (
            "SELECT * FROM t WHERE u = bucket.u OR a = 1",
            "4:47: error: both sides of an OR must use the same parameters (write a query for each side)",
        ),
        (
            "SELECT * FROM t WHERE bucket.u IN a AND bucket.v IN b",
            "4:49: error: two INs on parameters can't be joined by AND (write a definition for each, or compare one of them by =)",
        ),
        (
            "SELECT * FROM t WHERE v = bucket.v AND NOT u = bucket.u",
            "4:48: error: NOT can't be applied to a bucket parameter (rows are filed under values to be equal to)",
        ),
        (
            "SELECT * FROM t WHERE v = bucket.v AND u > bucket.u",
            "4:48: error: a bucket parameter can only be compared with the row by = or IN",
        ),
        (
            "SELECT * FROM t WHERE v = bucket.v AND u IN bucket.u",
            "4:53: error: a bucket parameter is a single value, so it can't stand on the right side of IN (compare by =, or write bucket.name IN column)",
        ),
        (
            "SELECT * FROM t WHERE v = bucket.v AND bucket.u",
            "4:48: error: a bucket parameter can only be compared with the row by = or IN",
        ),
        (
            "SELECT * FROM t WHERE v = bucket.v AND bucket.u = bucket.v",
            "4:48: error: one side of the comparison must come from the row alone",
        ),
        (
            "SELECT * FROM t WHERE v = bucket.v AND upper(bucket.u) = u",
            "4:48: error: a bucket parameter must stand alone on its side of the comparison (calculate on the row's side)",
        ),
        (
            "SELECT *, bucket.u AS u FROM t WHERE v = bucket.v AND u = bucket.u",
            "4:19: error: `bucket.u` has no value here (compare it with a column by = or IN in the WHERE of a data query)",
        ),
        (
            "SELECT * FROM t WHERE v = bucket.v AND u = request.user_id()",
            "4:52: error: `request.user_id()` has no value here (requests are known to parameter queries only: select it there, and use bucket.name here)",
        ),
        (
            "SELECT * FROM t WHERE v = bucket.v AND u = auth.user_id()",
            "4:52: error: `auth.user_id()` has no value here (only request.user_id(), request.jwt(), request.parameters() and request.parameter('name') exist)",
        ),
        (
            "SELECT name FROM t WHERE v = bucket.v AND u = bucket.u",
            "4:9: error: the query selects no `id` (select what names a row AS id)",
        ),
        (
            "SELECT id, upper(name) FROM t WHERE v = bucket.v AND u = bucket.u",
            "4:20: error: an expression needs a name (write AS and a name after it)",
        ),
        (
            "SELECT id, uper(name) AS n FROM t WHERE v = bucket.v AND u = bucket.u",
            "4:20: error: there is no function `uper` (did you mean `upper`?)",
        ),
        (
            "SELECT id, foo(name) FROM t WHERE v = bucket.v AND u = bucket.u",
            "4:20: error: there is no function `foo` (the functions are upper, lower, substring, substr, hex, length, base64, \
             uuid_blob, typeof, ifnull, iif, instr, json_extract, json_array_length, json_valid, json_keys, unixepoch, \
             datetime, st_asgeojson, st_astext, st_x, st_y)",
        ),
        (
            "SELECT id, coalesce(a, b) AS n FROM t WHERE v = bucket.v AND u = bucket.u",
            "4:20: error: there is no function `coalesce` (use ifnull(x, y))",
        ),
        (
            "SELECT id, iif(a, b) AS n FROM t WHERE v = bucket.v AND u = bucket.u",
            "4:20: error: iif() takes 3 arguments, not 2",
        ),
        (
            "SELECT id, substr(a) AS n FROM t WHERE v = bucket.v AND u = bucket.u",
            "4:20: error: substr() takes 2 to 3 arguments, not 1",
        ),
        (
            "SELECT id, json_extract(a, 'x') AS n FROM t WHERE v = bucket.v AND u = bucket.u",
            "4:36: error: a JSON path starts with `$` and goes on with `.key` or `[index]` (write '$.key', or use json ->> 'key')",
        ),
        (
            "SELECT id, CAST(a AS int) AS n FROM t",
            "4:30: error: there is no cast to `int` (cast to text, numeric, integer, real or blob)",
        ),
        (
            "SELECT x.* FROM t WHERE v = bucket.v AND u = bucket.u",
            "4:16: error: the query doesn't read `x` (it reads `t`)",
        ),
        (
            "SELECT * FROM t AS x WHERE v = bucket.v AND u = bucket.u AND t.a = 1",
            "4:70: error: the query doesn't read `t` (it reads `x`)",
        ),
        (
            "SELECT * FROM a JOIN b ON a.id = b.id",
            "4:25: error: bucket definitions have no joins (read one table; let a parameter query look up the other one)",
        ),
        (
            "SELECT * FROM a, b",
            "4:24: error: bucket definitions have no joins (read one table; let a parameter query look up the other one)",
        ),
        (
            "SELECT * FROM (SELECT * FROM t) AS x",
            "4:23: error: bucket definitions have no subqueries (read one table; let a parameter query look up the other one)",
        ),
        (
            "SELECT * FROM t WHERE id IN (SELECT id FROM x)",
            "4:38: error: bucket definitions have no subqueries (let a parameter query look up the values)",
        ),
        (
            "SELECT id, order FROM t",
            "4:20: error: found the keyword `order` where an expression is expected (write \"order\" in double quotes if it is a name)",
        ),
        ("SELECT `id` FROM t", "4:16: error: names aren't quoted by backticks (write \"name\", in double quotes)"),
        (
            "SELECT * FROM group",
            "4:23: error: found the keyword `group` where a table is expected (write \"group\" in double quotes if it is a name)",
        ),
        ("SELECT * FROM t GROUP BY a", "4:25: error: bucket definitions have no aggregation (remove the clause)"),
        ("SELECT * FROM t ORDER BY a", "4:25: error: bucket definitions have no order or limits (remove the clause)"),
        ("SELECT DISTINCT a FROM t", "4:16: error: bucket definitions have no aggregation (remove the clause)"),
        (
            "SELECT COUNT(*) FROM t",
            "4:16: error: bucket definitions have no aggregation (select the rows themselves; clients can count and add them up)",
        ),
        (
            "SELECT id, sum(a) AS total FROM t",
            "4:20: error: bucket definitions have no aggregation (select the rows themselves; clients can count and add them up)",
        ),
        (
            "SELECT * FROM t UNION SELECT * FROM u",
            "4:25: error: bucket definitions have no set operations (write one query for each part)",
        ),
        (
            "SELECT * FROM t WHERE a LIKE 'x%'",
            "4:33: error: bucket definitions have no LIKE (use instr(text, part) > 0 or substring())",
        ),
        (
            "SELECT * FROM t WHERE a BETWEEN 1 AND 2",
            "4:33: error: bucket definitions have no BETWEEN (write x >= a AND x <= b)",
        ),
        (
            "SELECT CASE WHEN 1 THEN 2 END AS x FROM t",
            "4:16: error: bucket definitions have no CASE (use iif(condition, then, else))",
        ),
        ("SELECT * FROM t WHERE a == 1", "4:33: error: `==` isn't an operator (write `=`)"),
        ("SELECT * FROM t WHERE a && b", "4:33: error: bucket definitions have no && (use bucket.name IN column)"),
        (
            "SELECT * FROM t WHERE a IS TRUE",
            "4:33: error: IS takes only NULL or NOT NULL (compare other values by = or !=)",
        ),
        (
            "SELECT * FROM t WHERE a IN ('x', 'it''s', 3)",
            "4:36: error: IN takes a JSON array (write IN '[\"x\",\"it''s\",3]')",
        ),
        ("SELECT * FROM t WHERE a IN (1)", "4:36: error: IN takes a JSON array (write IN '[1]')"),
        (
            "SELECT * FROM t WHERE v = bucket.v AND u = bucket.u AND a IN 'x'",
            "4:70: error: IN takes a JSON array (write IN '[\"x\"]')",
        ),
        (
            "SELECT * FROM a.b.c.d",
            "4:29: error: a table's name has at most three parts (write source.schema.table, schema.table or table)",
        ),
        (
            "SELECT * FROM \"a%b\"",
            "4:23: error: `%` stands for the rest of a table's name, so it can only be its last character",
        ),
        ("SELECT * FROM \"s%\".\"t\"", "4:23: error: `%` can't be used for schemas or sources (name each one)"),
        ("SELECT 1 AS id", "4:9: error: the query reads no table (add FROM and a table)"),
        ("SELECT * FROM t; SELECT 1", "4:26: error: a second statement follows; one query is one text"),
        (
            "SELECT * FROM t WHERE a = 99999999999999999999",
            "4:35: error: `99999999999999999999` isn't a number of at most 64 bits",
        ),
        ("SELECT * FROM t WHERE a = 'x", "4:35: error: this isn't SQL: unterminated string literal"),
        (
            "SELECT id, a :: text AS a FROM t",
            "4:9: error: a query must be a text, not a mapping (put the query in quotes or after `|`: a colon and a blank make a mapping)",
        ),
        ("", "4:9: error: a query must be a text, not nothing"),
    ] {
        assert_eq!(data_fault(query), format!("f.yaml:{expected}\n"), "{query}");
    }
}

fn parameter_fault(parameters: &str) -> String {
    faults(&format!(
        "bucket_definitions:\n  b:\n    parameters: {parameters}\n    data: [SELECT * FROM d WHERE a = bucket.a]\n"
    ))
}

#[test]
fn faults_of_parameter_queries_point_at_the_place() {
    for (query, expected) in [
        ("SELECT * FROM t", "3:24: error: a parameter query can't select `*` (name each parameter)"),
        (
            "SELECT a FROM t AS x",
            "3:36: error: a parameter query can't give its table another name (remove `x` and use the table's own name)",
        ),
        ("SELECT a, a FROM t", "3:27: error: the parameter `a` is selected twice"),
        (
            "SELECT a",
            "3:24: error: there is no table to take `a` from (write a text in single quotes; name a table after FROM)",
        ),
        (
            "SELECT bucket.a AS a",
            "3:24: error: `bucket.a` has no value in a parameter query (bucket parameters are used in data queries)",
        ),
        (
            "SELECT auth.user_id() AS a",
            "3:24: error: there is no `auth.user_id()` (it belongs to streams; bucket definitions have request.user_id(), request.jwt(), request.parameters() and request.parameter('name'))",
        ),
        ("SELECT reqest.user_id() AS a", "3:24: error: there is no `reqest.user_id()` (did you mean `request`?)"),
        ("SELECT request.userid() AS a", "3:32: error: there is no request.userid() (did you mean `user_id`?)"),
        ("SELECT request.user_id(1) AS a", "3:32: error: request.user_id() takes no arguments"),
        ("SELECT request.parameter() AS a", "3:32: error: request.parameter() takes 1 argument"),
        (
            "SELECT a || request.user_id() AS a FROM t",
            "3:24: error: a parameter comes from the row or from the request, not from both (select both, as two parameters)",
        ),
        (
            "SELECT a FROM t WHERE NOT b = request.user_id()",
            "3:39: error: NOT can't be applied to a value of the request (rows are filed under values to be equal to)",
        ),
        (
            "SELECT a FROM t WHERE b != request.user_id()",
            "3:39: error: a value of the request can only be compared with the row by = or IN",
        ),
        (
            "SELECT a FROM t WHERE b = request.user_id() OR c = 1",
            "3:64: error: both sides of an OR must use the same parameters (write a query for each side)",
        ),
        (
            "SELECT a FROM t WHERE b || request.user_id() = 'x'",
            "3:39: error: a value of the request must stand alone on its side of the comparison (calculate on the row's side)",
        ),
        (
            "SELECT a FROM t WHERE b IN request.jwt() -> 'x' AND request.user_id() IN c",
            "3:69: error: two INs on parameters can't be joined by AND (write a definition for each, or compare one of them by =)",
        ),
        (
            "SELECT a FROM json_each(request.jwt() -> 'x')",
            "3:24: error: json_each has no column `a`; it has `value` and `key` (write value AS a)",
        ),
        (
            "SELECT value AS a FROM json_tree(request.jwt())",
            "3:40: error: there is no table-valued function `json_tree` (use json_each(a JSON array of the request))",
        ),
        ("SELECT value AS a FROM json_each()", "3:40: error: json_each() takes 1 argument"),
        ("SELECT 1 AS a, 5 AS _priority", "3:32: error: _priority must be one of 0, 1, 2 and 3, written as a number"),
        (
            "[]",
            "3:17: error: the list of parameter queries is empty (remove `parameters` for one bucket that everybody gets)",
        ),
        (
            "[SELECT 1 AS a, SELECT 1 AS b]",
            "3:33: error: all parameter queries of a definition must select the same (the first one selects a)",
        ),
    ] {
        let quoted = if query.starts_with('[') { query.to_owned() } else { query.replace('\n', " ") };
        assert_eq!(parameter_fault(&quoted), format!("f.yaml:{expected}\n"), "{query}");
    }
    assert_eq!(
        faults(
            "bucket_definitions:\n  b:\n    priority: 1\n    parameters: SELECT 1 AS a, 2 AS _priority\n    data: [SELECT * FROM d WHERE a = bucket.a]\n"
        ),
        "f.yaml:4:17: error: the definition sets a priority already (keep either `priority` or `_priority`)\n"
    );
}

#[test]
fn faults_that_only_follow_from_others_are_left_out() {
    assert_eq!(
        faults(
            "bucket_definitions:\n  b:\n    paramters: SELECT 1 AS a\n    data: ['SELECT uper(a) AS id FROM d WHERE a = bucket.a']\n"
        ),
        "f.yaml:3:5: error: the bucket definition `b` has no key `paramters` (did you mean `parameters`?)\n\
         f.yaml:4:20: error: there is no function `uper` (did you mean `upper`?)\n"
    );
    assert_eq!(
        faults(
            "bucket_definitions:\n  b:\n    parameters: SELECT x AS a\n    data: ['SELECT * FROM d WHERE bucket.b IN a AND b > bucket.b']\n"
        ),
        "f.yaml:3:24: error: there is no table to take `x` from (write a text in single quotes; name a table after FROM)\n\
         f.yaml:4:53: error: a bucket parameter can only be compared with the row by = or IN\n"
    );
}

#[test]
fn a_fault_of_a_parameter_query_hides_none_of_the_data_queries() {
    assert_eq!(
        faults(
            "bucket_definitions:\n  b:\n    parameters:\n      - SELECT request.user() AS a, uper(x) AS c WHERE nothing\n      - SELEC\n    data:\n      - SELECT * FROM d WHERE x = bucket.b\n      - SELECT * FROM e WHERE x = bucket.a\n"
        ),
        "f.yaml:4:24: error: there is no request.user()\n\
         f.yaml:4:37: error: there is no function `uper` (did you mean `upper`?)\n\
         f.yaml:4:42: error: there is no table to take `x` from (write a text in single quotes; name a table after FROM)\n\
         f.yaml:4:56: error: there is no table to take `nothing` from (write a text in single quotes; name a table after FROM)\n\
         f.yaml:5:9: error: found `SELEC` where SELECT is expected (did you mean `select`?)\n\
         f.yaml:7:42: error: there is no bucket parameter `b` (the definition's parameters are a, c)\n\
         f.yaml:8:31: error: the query must use every bucket parameter; it lacks bucket.c (add bucket.c = a column to its WHERE)\n"
    );
    // Where no query tells what the parameters are, nothing is said of those that the data queries use.
    assert_eq!(
        faults(
            "bucket_definitions:\n  b:\n    parameters: SELECT * FROM u\n    data: [SELECT uper(x) AS id FROM d WHERE x = bucket.b]\n"
        ),
        "f.yaml:3:24: error: a parameter query can't select `*` (name each parameter)\n\
         f.yaml:4:19: error: there is no function `uper` (did you mean `upper`?)\n"
    );
}

#[test]
fn sound_queries_of_a_faulty_file_are_held_against_tables() {
    let text = "bucket_definitions:\n  a:\n    parameters: SELECT request.user() AS u\n    data:\n      - SELECT id, nmae FROM t WHERE owner = bucket.u\n      - SELECT uper(nmae) AS id FROM gone\n  b:\n    parameters: SELECT lgin AS l FROM users\n  c:\n    data: [SELECT * FROM crm.x.t]\n";
    let draft = Draft::read(text, "f.yaml");
    assert!(!draft.is_sound());
    let read: Vec<String> = draft.patterns(SHOP).iter().map(|pattern| pattern.table.clone()).collect();
    assert_eq!(read, ["t", "users"]);
    let misfits = |table: &str, columns: &[&str]| report(&draft.misfits(SHOP, &fixture::table(table, columns)));
    assert_eq!(
        misfits("shop.t", &["id int", "name text"]),
        "f.yaml:5:20: warning: the table shop.t has no column `nmae`; it reads as NULL (did you mean `name`?)\n\
         f.yaml:5:38: warning: the table shop.t has no column `owner`; it reads as NULL (it has `id`, `name`)\n"
    );
    assert_eq!(
        misfits("shop.users", &["login text"]),
        "f.yaml:8:24: warning: the table shop.users has no column `lgin`; it reads as NULL (did you mean `login`?)\n"
    );
    assert_eq!(
        report(&draft.unknown_sources(&["shop"])),
        "f.yaml:10:26: error: there is no source `crm` (the sources are shop)\n"
    );
    assert_eq!(draft.faults().to_vec(), draft.finish().unwrap_err());
}

#[test]
fn dangerous_queries_are_warned_of_unless_accepted() {
    let warnings = |parameters: &str, accept: &str| {
        let text = format!(
            "bucket_definitions:\n  b:\n    {accept}\n    parameters: {parameters}\n    data: [SELECT * FROM d WHERE a = bucket.a]\n"
        );
        report(config(&text).warnings())
    };
    let expected = "sync-config.yaml:4:24: warning: potentially dangerous: the client chooses these parameters, and nothing of its token is asked (add a condition on request.user_id() or request.jwt(), or set `accept_potentially_dangerous_queries: true`)\n";
    let query = "SELECT request.parameters() ->> 'a' AS a";
    assert_eq!(warnings(query, ""), expected);
    assert_eq!(warnings(query, "accept_potentially_dangerous_queries: false"), expected);
    assert_eq!(warnings(query, "accept_potentially_dangerous_queries: true"), "");
    assert_eq!(warnings("SELECT user_parameters.x AS a", ""), expected);
    for safe in [
        "SELECT request.parameter('a') AS a WHERE request.jwt() ->> 'role' = 'admin'",
        "SELECT a FROM t WHERE b = request.parameter('a') AND c = token_parameters.user_id",
        "SELECT request.user_id() AS a",
    ] {
        assert_eq!(warnings(safe, ""), "", "{safe}");
    }
}

fn fingerprints(text: &str) -> Vec<u64> {
    config(text).definitions().iter().map(|definition| definition.fingerprint()).collect()
}

#[test]
fn fingerprints_change_with_what_changes_buckets_and_only_then() {
    let base = "bucket_definitions:
  a:
    parameters: SELECT id AS x FROM t WHERE owner = request.user_id()
    data:
      - SELECT * FROM t WHERE id = bucket.x
  b:
    data:
      - SELECT * FROM u
";
    let [a, b] = fingerprints(base)[..] else { panic!("two definitions") };
    assert_ne!(a, b);
    // A change to these texts re-reads the buckets of everybody who upgrades.
    assert_eq!((a, b), (PINNED.0, PINNED.1));
    let same = "# comment
config: {edition: 1, storage_version: 2, versioned_bucket_ids: true}
bucket_definitions:
  b:
    priority: 1
    data: ['select * from u']
  a:
    accept_potentially_dangerous_queries: true
    data:
      - |
        select t.* -- all
        FROM \"t\" WHERE (id = bucket.x);
    parameters:
      - SELECT id x FROM t WHERE (owner) = request.user_id()
";
    assert_eq!(fingerprints(same), [b, a]);
    for (from, to, unchanged_a, unchanged_b) in [
        ("  a:", "  c:", false, true),
        ("owner =", "login =", false, true),
        ("id = bucket.x", "id = bucket.x AND live", false, true),
        ("SELECT * FROM u", "SELECT * FROM u AS v", true, false),
        ("bucket_definitions", "config: {fixed_json_extract: true}\nbucket_definitions", false, false),
        (
            "bucket_definitions",
            "config: {timestamps_iso8601: true, timestamp_max_precision: seconds}\nbucket_definitions",
            false,
            false,
        ),
        ("bucket_definitions", "config: {timestamps_iso8601: true}\nbucket_definitions", true, true),
    ] {
        let [other_a, other_b] = fingerprints(&base.replace(from, to))[..] else { panic!("two definitions") };
        assert_eq!((a == other_a, b == other_b), (unchanged_a, unchanged_b), "{to}");
    }
}

const PINNED: (u64, u64) = (7980468477600868073, 12990649089519057350);

#[test]
fn events_are_kept() {
    let config = config(
        "bucket_definitions: {b: {data: [SELECT * FROM t]}}
event_definitions:
  write_checkpoints:
    payloads:
      - SELECT user_id, checkpoint FROM checkpoints WHERE live
",
    );
    let [event] = config.events() else { panic!("one event") };
    assert_eq!(event.name, "write_checkpoints");
    assert_eq!(event.payloads, [r#"SELECT "user_id", "checkpoint" FROM "checkpoints" WHERE "live""#]);
    assert_eq!(
        faults("bucket_definitions: {b: {data: [SELECT * FROM t]}}\nevent_definitions: {e: {payload: []}}"),
        "f.yaml:2:21: error: the event definition `e` has no `payloads`\n\
         f.yaml:2:25: error: the event definition `e` has no key `payload` (did you mean `payloads`?)\n"
    );
}
