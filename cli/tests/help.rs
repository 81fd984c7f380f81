//! What `--help` says, and wrong usage.

use std::fs;

use crate::workspace::Workspace;

const COMMANDS: [&[&str]; 10] = [
    &[],
    &["init"],
    &["check"],
    &["run"],
    &["status"],
    &["schema"],
    &["buckets"],
    &["buckets", "dump"],
    &["verify"],
    &["reload"],
];

/// Set to anything to write the text that the help has now.
const UPDATE_VARIABLE: &str = "MILLSTREAM_UPDATE_HELP";

#[test]
fn help_is_as_it_was_read_last() {
    let workspace = Workspace::new();
    let mut text = String::new();
    for command in COMMANDS {
        let line = [&["millstream"], command, &["--help"]].concat().join(" ");
        let help = workspace.run(&[command, &["--help"]].concat()).good();
        text.push_str(&format!("$ {line}\n{help}\n"));
    }
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/help.txt");
    if std::env::var_os(UPDATE_VARIABLE).is_some() {
        fs::write(file, &text).unwrap();
    }
    let read = fs::read_to_string(file).unwrap_or_default();
    assert!(text == read, "the help changed; set {UPDATE_VARIABLE}=1 and read tests/help.txt anew:\n{text}");
}

#[test]
fn wrong_usage_is_told_with_code_2() {
    let workspace = Workspace::new();
    for (command, expected) in [
        (&["stauts"][..], "status"),
        (&["status", "--jsn"], "--json"),
        (&["reload"], "TABLE"),
        (&["init"], "URI"),
        (&[], "Usage"),
    ] {
        let said = workspace.run(command).failed(2);
        assert!(said.contains(expected), "{said}");
    }
    for uri in ["postgres://u:topsecret@h/d", "u:topsecret@h/d", "mysql://u:topsecret@h", "mysql://h/d?ssl=1"] {
        let said = workspace.run(&["init", uri]).failed(1);
        assert!(said.contains("mysql://") && !said.contains("topsecret"), "{said}");
        assert!(!workspace.path("millstream.yaml").exists());
    }
    assert!(workspace.run(&["--version"]).good().starts_with("millstream "));
}
