//! Configurations, right and wrong.

use std::fs;

use super::*;

fn load(text: &str) -> Result<Config, String> {
    load_with(text, "")
}

/// Loads a configuration whose folder's path is left out of messages.
fn load_with(text: &str, secrets: &str) -> Result<Config, String> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join(CONFIG_FILE);
    fs::write(&file, text).unwrap();
    if !secrets.is_empty() {
        fs::write(folder.path().join(ENVIRONMENT_FILE), secrets).unwrap();
    }
    Config::load(&file).map_err(|faults| faults.to_string().replace(&format!("{}/", folder.path().display()), ""))
}

const SHOP: &str = "sources:\n  - name: shop\n    type: mysql\n    uri: mysql://u@h/shop\n";

#[test]
fn defaults_fill_in_what_is_not_written() {
    let config = load(SHOP).unwrap();
    assert!(config.sync_config.ends_with("sync-config.yaml") && config.data.ends_with("millstream-data"));
    assert!(config.data.is_absolute(), "relative to the file's folder, not to the working directory");
    let [source] = &config.sources[..] else { panic!() };
    assert_eq!((source.name.as_str(), source.address.as_str()), ("shop", "mysql://u@h/shop"));
    assert_eq!(source.default_schema().as_deref(), Some("shop"));
}

#[test]
fn a_value_is_what_stands_in_the_file() {
    for name in ["on", "yes", "n", "1e3", "0x10", "0123"] {
        let config = load(&SHOP.replace("name: shop", &format!("name: {name}"))).unwrap();
        assert_eq!(config.sources[0].name, name);
    }
}

#[test]
fn a_password_comes_from_the_secrets_and_is_not_shown() {
    let text = format!("{SHOP}    password: ${{MILLSTREAM_TEST_PASSWORD}}\n");
    let config = load_with(&text, "MILLSTREAM_TEST_PASSWORD=p@ss/word\n").unwrap();
    assert!(!format!("{config:?}").contains("ss/word") && !format!("{config:?}").contains("p%40ss"), "{config:?}");
    let message = load(&text).unwrap_err();
    assert!(message.contains("millstream.yaml:5:15: the environment variable MILLSTREAM_TEST_PASSWORD isn't set"));
}

#[test]
fn every_fault_is_told_at_once_with_its_place() {
    let faults = load(
        "souces: 5\n\
         sources:\n\
         \x20 - name: shop one\n\
         \x20   type: mysl\n\
         \x20   uri: postgres://u:secret@h/d\n\
         \x20 - name: second\n\
         \x20   type: mysql\n\
         \x20   uri: mysql://h/?ssl=1\n\
         \x20   readers: many\n\
         \x20   tls: { mode: verify-ca, client_key: nowhere.pem }\n\
         \x20 - name: second\n\
         \x20   type: mysql\n\
         \x20   uri: mysql://u@h/d\n\
         \x20   pasword: x\n\
         \x20 - nothing\n\
         data: []\n",
    )
    .unwrap_err();
    let expected = "\
millstream.yaml:1:1: the configuration has no key `souces`
    fix: did you mean `sources`?
millstream.yaml:3:11: `shop one` can't be a source's name
    fix: a name has letters, digits, `_` and `-`
millstream.yaml:4:11: there is no source type `mysl`
    fix: did you mean `mysql`?
millstream.yaml:5:10: the URI begins with postgres:// where mysql:// is expected
    fix: write mysql://u@h/d for MySQL or MariaDB
millstream.yaml:8:10: the URI has options after `?`, and takes none
    fix: leave them out; encryption is set by the key `tls` of the configuration
millstream.yaml:8:10: the URI names no user
    fix: write mysql://user@host:3306/database
millstream.yaml:8:10: the URI names no database
    fix: add the one that table names without a database mean: mysql://user@host:3306/database
millstream.yaml:9:14: `readers` can't be `many`
    fix: write a whole number from 1 to 32
millstream.yaml:10:10: `client_certificate` and `client_key` belong together and one is missing
    fix: name both files, or neither
millstream.yaml:10:18: there is no TLS mode `verify-ca`
    fix: did you mean `verify_ca`?
millstream.yaml:10:41: nowhere.pem can't be read: No such file or directory (os error 2)
    fix: name a file that can be read; a relative path begins at the configuration's folder
millstream.yaml:11:11: the name `second` is taken by the source in line 6
    fix: give each source a name of its own
millstream.yaml:14:5: a source has no key `pasword`
    fix: did you mean `password`?
millstream.yaml:15:5: a source must be a map of keys, not a text
    fix: write keys and values here, of these: name, type, uri, password, tls, readers, connect_timeout_seconds, \
query_timeout_seconds, server_id, lookahead_bytes_max, rows_per_second_max
millstream.yaml:16:7: `data` must be a text, not a list
    fix: write one value on this line";
    assert_eq!(faults, expected);
}

#[test]
fn a_sql_server_has_keys_of_its_own() {
    let source = "sources:\n  - name: shop\n    type: sqlserver\n    uri: mssql://u@h/shop\n";
    let text = format!("{source}    tls: required\n    capture_instances: auto\n    cleanup: acknowledged\n");
    let config = load(&text).unwrap();
    let source = config.sources.first().unwrap();
    assert_eq!((source.kind(), source.address.as_str()), ("sqlserver", "mssql://u@h/shop"));
    assert_eq!(source.default_schema().as_deref(), Some("dbo"));
    let faults = load(
        "sources:\n\
         \x20 - name: shop\n\
         \x20   type: sqlserver\n\
         \x20   uri: mysql://h/d\n\
         \x20   server_id: 7\n\
         \x20   capture_instances: automatic\n\
         \x20   authentication: { entra_token: nowhere }\n\
         \x20   tls: { mode: verify_ca }\n",
    )
    .unwrap_err();
    let expected = "\
millstream.yaml:4:10: the URI begins with mysql:// where mssql:// is expected
    fix: write mssql://h/d for SQL Server or Azure SQL
millstream.yaml:5:5: a source has no key `server_id`
    fix: a source has these keys: name, type, uri, password, instance, authentication, tls, capture_instances, cleanup, \
poll_interval_ms, readers, connect_timeout_seconds, query_timeout_seconds, rows_per_second_max
millstream.yaml:6:24: there is no value of capture_instances `automatic`
    fix: did you mean `auto`?
millstream.yaml:7:36: nowhere can't be read: No such file or directory (os error 2)
    fix: name a file that can be read; a relative path begins at the configuration's folder
millstream.yaml:8:18: there is no TLS mode `verify_ca`
    fix: did you mean `verify_identity`?";
    assert_eq!(faults, expected);
}

#[test]
fn an_empty_file_says_what_belongs_into_it() {
    assert!(load("").unwrap_err().contains("must be a map of keys, not nothing"));
    assert!(load("data: x\n").unwrap_err().contains("no source is configured"));
}

#[test]
fn a_missing_file_says_how_to_get_one() {
    let Err(faults) = Config::load(Path::new("/nowhere/millstream.yaml")) else { panic!() };
    assert!(faults.to_string().contains("millstream init"), "{faults}");
}
