//! `${NAME}` in values: secrets come from the environment, or from `millstream.env` beside the configuration.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

use millstream_core::source::Severity;

use crate::config::fault::{Fault, Place};
use crate::config::file_text::FileText;
use crate::config::within;

/// The file beside the configuration that holds secrets, one `NAME=value` a line.
pub(crate) const ENVIRONMENT_FILE: &str = "millstream.env";

/// Where `${NAME}` is looked up: first the process's environment, then the file.
pub(crate) struct Environment {
    file: PathBuf,
    from_file: HashMap<String, String>,
    from_process: fn(&str) -> Option<String>,
}

impl Environment {
    /// Reads the file in this folder, if there is one.
    pub(crate) fn load(folder: &Path, faults: &mut Vec<Fault>) -> Self {
        let file = within(folder, ENVIRONMENT_FILE);
        let mut environment =
            Self { file: file.clone(), from_file: HashMap::new(), from_process: |name| std::env::var(name).ok() };
        match FileText::read(&file) {
            Ok(Some(found)) => environment.from_file = parse(&found.text, &file, faults),
            Ok(None) => return environment,
            Err(fault) => faults.push(fault),
        }
        warn_if_open(&file, faults);
        environment
    }

    /// One that has a single name, beside those of the process.
    pub(crate) fn with(folder: &Path, name: &str, value: &str) -> Self {
        Self {
            file: within(folder, ENVIRONMENT_FILE),
            from_file: HashMap::from([(name.to_owned(), value.to_owned())]),
            from_process: |name| std::env::var(name).ok(),
        }
    }

    fn get(&self, name: &str) -> Option<String> {
        (self.from_process)(name).or_else(|| self.from_file.get(name).cloned())
    }

    /// The text with each `${NAME}` replaced and `$$` for a dollar sign; a fault for each name that isn't set.
    pub(crate) fn substitute(&self, text: &str, file: &Path, place: Place, faults: &mut Vec<Fault>) -> String {
        let mut result = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(dollar) = rest.find('$') {
            let (before, after) = rest.split_at(dollar);
            result.push_str(before);
            rest = after.strip_prefix('$').unwrap_or_default();
            if let Some(after) = rest.strip_prefix('$') {
                result.push('$');
                rest = after;
            } else if let Some((name, after)) = rest.strip_prefix('{').and_then(|rest| rest.split_once('}')) {
                match self.get(name) {
                    Some(value) => result.push_str(&value),
                    None => faults.push(self.unset(name, file, place)),
                }
                rest = after;
            } else {
                result.push('$');
            }
        }
        result.push_str(rest);
        result
    }

    fn unset(&self, name: &str, file: &Path, place: Place) -> Fault {
        Fault::error(file, Some(place), format!("the environment variable {name} isn't set")).suggest(format!(
            "export {name}=… before the command, or write {name}=… into {} (a dollar sign itself is written $$)",
            self.file.display()
        ))
    }
}

fn parse(text: &str, file: &Path, faults: &mut Vec<Fault>) -> HashMap<String, String> {
    let mut variables = HashMap::new();
    for (line, text) in (1..).zip(text.lines()) {
        let text = text.trim();
        if text.is_empty() || text.starts_with('#') {
            continue;
        }
        match text.split_once('=') {
            Some((name, value)) if is_name(name.trim()) => {
                variables.insert(name.trim().to_owned(), unquoted(value.trim()).to_owned());
            }
            // The line itself may hold a secret, so it isn't shown.
            _ => faults.push(
                Fault::error(file, Some(Place { line, column: 1 }), "this line isn't NAME=value")
                    .suggest("write NAME=value, or begin the line with # to make it a comment"),
            ),
        }
    }
    variables
}

fn is_name(name: &str) -> bool {
    !name.is_empty() && name.chars().all(|letter| letter.is_ascii_alphanumeric() || letter == '_')
}

/// A line of the file, with quotes where the value couldn't be read again without them; `None` if it can't be at all.
pub(crate) fn line(name: &str, value: &str) -> Option<String> {
    let quoted =
        if value.trim() != value || value.starts_with(['"', '\'']) { format!("'{value}'") } else { value.to_owned() };
    (!value.contains(['\n', '\r'])).then(|| format!("{name}={quoted}\n"))
}

/// Shells need quotes around some values; here they keep blanks and other quotes.
fn unquoted(value: &str) -> &str {
    for quote in ['"', '\''] {
        if let Some(inner) = value.strip_prefix(quote).and_then(|value| value.strip_suffix(quote)) {
            return inner;
        }
    }
    value
}

#[cfg(unix)]
fn warn_if_open(file: &Path, faults: &mut Vec<Fault>) {
    use std::os::unix::fs::PermissionsExt;
    const OTHERS: u32 = 0o077;
    if fs::metadata(file).is_ok_and(|metadata| metadata.permissions().mode() & OTHERS != 0) {
        let mut fault = Fault::error(file, None, "other users of this machine can read the secrets in it")
            .suggest(format!("chmod 600 {}", file.display()));
        fault.severity = Severity::Warning;
        faults.push(fault);
    }
}

#[cfg(not(unix))]
fn warn_if_open(_file: &Path, _faults: &mut Vec<Fault>) {}

#[cfg(test)]
mod tests {
    use super::*;

    const PLACE: Place = Place { line: 3, column: 9 };

    fn environment() -> Environment {
        let mut faults = Vec::new();
        let from_file = parse("# secrets\nPASSWORD='p$w'\nUSER = alice\n\n", Path::new("millstream.env"), &mut faults);
        assert_eq!(faults, []);
        Environment {
            file: "millstream.env".into(),
            from_file,
            from_process: |name| (name == "USER").then(|| "bob".to_owned()),
        }
    }

    fn substituted(text: &str) -> (String, Vec<Fault>) {
        let mut faults = Vec::new();
        (environment().substitute(text, Path::new("f.yaml"), PLACE, &mut faults), faults)
    }

    #[test]
    fn names_are_replaced_and_the_process_wins_over_the_file() {
        assert_eq!(substituted("${USER}:${PASSWORD}@h").0, "bob:p$w@h");
    }

    #[test]
    fn dollars_that_begin_no_name_stay() {
        assert_eq!(substituted("a$b $${USER} 5$ ${open").0, "a$b ${USER} 5$ ${open");
    }

    #[test]
    fn an_unset_name_is_a_fault_at_the_values_place() {
        let (_, faults) = substituted("${MISSING}");
        assert_eq!(faults.len(), 1);
        assert_eq!(faults[0].location(), "f.yaml:3:9");
        assert!(faults[0].message.contains("MISSING"));
    }

    #[test]
    fn every_value_that_is_written_is_read_again() {
        for value in
            [" lead", "trail\t", "\"q\"", "'q'", "'", "\"", "it's", "a#b", "#a", "a=b", "$x ${y}", "", "0123", "ö"]
        {
            let mut faults = Vec::new();
            let text = line("P", value).unwrap();
            let read = parse(&format!("# secret\n{text}"), Path::new("millstream.env"), &mut faults);
            assert_eq!((read["P"].as_str(), faults), (value, Vec::new()), "{text}");
        }
        assert_eq!(line("P", "two\nlines"), None);
    }

    #[test]
    fn a_bad_line_of_the_file_is_a_fault_that_does_not_show_it() {
        let mut faults = Vec::new();
        parse("A=1\nsecret words\n", Path::new("millstream.env"), &mut faults);
        assert_eq!(faults[0].location(), "millstream.env:2:1");
        assert!(!faults[0].to_string().contains("secret words"));
    }
}
