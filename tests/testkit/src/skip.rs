//! Tests that can't run say so, by name.
//!
//! A test without its server fails. Only where someone asked for it, by `MILLSTREAM_SKIP_SERVERS=mariadb` (names
//! separated by commas), is it left out instead; then it prints `skipped: NAME: why` and adds that line to the file
//! `MILLSTREAM_SKIPPED_FILE`, which `make test` shows at its end.

use std::env;
use std::fs::OpenOptions;
use std::io::Write;
use std::thread;

#[cfg(feature = "servers")]
use crate::Flavor;

const SKIP_VARIABLE: &str = "MILLSTREAM_SKIP_SERVERS";
const FILE_VARIABLE: &str = "MILLSTREAM_SKIPPED_FILE";

/// Whether a test that needs such a server is to run. If not, the test is recorded as skipped; it then returns.
/// [`require_server!`](crate::require_server) does both.
#[cfg(feature = "servers")]
pub fn may_run(flavor: Flavor) -> bool {
    !is_unwanted(flavor.name())
}

/// Whether tests that need such a source are to be left out. If so, the calling test is recorded as skipped.
pub fn is_unwanted(name: &str) -> bool {
    let unwanted = env::var(SKIP_VARIABLE).unwrap_or_default();
    let is_unwanted = names(&unwanted, name);
    if is_unwanted {
        skip(&format!("{SKIP_VARIABLE}={unwanted} asks for no {name}"));
    }
    is_unwanted
}

/// Records the calling test as one that means nothing for its source.
#[cfg(feature = "conformance")]
pub(crate) fn not_applicable(why: &str) {
    record("not applicable", why);
}

/// Records the test that calls this as skipped. To be called on the test's own thread, which bears the test's name.
pub fn skip(why: &str) {
    record("skipped", why);
}

fn record(word: &str, why: &str) {
    let line = format!("{word}: {}: {why}", thread::current().name().unwrap_or("(a test without a name)"));
    println!("{line}");
    if let Ok(path) = env::var(FILE_VARIABLE) {
        // One write of a short line, appended: lines of tests that run at the same time don't mix.
        let written = OpenOptions::new()
            .create(true)
            .append(true)
            .open(&path)
            .and_then(|mut file| file.write_all(format!("{line}\n").as_bytes()));
        if let Err(error) = written {
            eprintln!("can't add to {path} ({FILE_VARIABLE}): {error}");
        }
    }
}

fn names(list: &str, name: &str) -> bool {
    list.split(',').any(|entry| entry.trim().eq_ignore_ascii_case(name))
}

/// Returns from the test, having recorded it as skipped, if the run is to do without this kind of server.
///
/// `require_server!(flavor)` in a test without a result, `require_server!(flavor, Ok(()))` in one with.
#[cfg(feature = "servers")]
#[macro_export]
macro_rules! require_server {
    ($flavor:expr $(, $value:expr)?) => {
        if !$crate::may_run($flavor) {
            return $($value)?;
        }
    };
}

#[cfg(test)]
mod tests {
    use super::names;

    #[test]
    fn servers_are_named_in_a_list() {
        assert!(names("mariadb", "mariadb"));
        assert!(names("mysql, MariaDB", "mariadb"));
        assert!(!names("mysql", "mariadb"));
        assert!(!names("", "mariadb"));
    }
}
