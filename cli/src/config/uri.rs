//! Where a source is: a URI, and the password that is in it or isn't.

use crate::config::kind::Kind;
use crate::failure::Failure;

/// A URI as somebody typed it, taken apart.
pub(crate) struct Given {
    /// Without the password.
    pub(crate) uri: String,
    pub(crate) password: Option<String>,
    pub(crate) database: String,
    pub(crate) kind: Kind,
}

impl Given {
    /// Every fault at once, without ever showing the password.
    pub(crate) fn read(uri: &str) -> Result<Self, Failure> {
        let scheme = uri.split_once("://").map_or("", |(scheme, _)| scheme);
        let kind = Kind::of_scheme(scheme);
        let faults = faults(uri, kind, false);
        if let Some(kind) = kind.filter(|_| faults.is_empty()) {
            let bare = without_password(uri);
            let password = split_password(uri).map(|(_, password, _)| unescaped(password));
            let database = unescaped(bare.rsplit_once('/').map_or("", |(_, database)| database));
            return Ok(Self { uri: bare, password: password.filter(|password| !password.is_empty()), database, kind });
        }
        let (diagnoses, remedies): (Vec<String>, Vec<String>) = faults.into_iter().unzip();
        Err(Failure::new(diagnoses.join("; "), remedies.join("; ")))
    }
}

/// What is wrong with a URI of this kind (of any, if that isn't known), each with what to write instead.
pub(super) fn faults(uri: &str, kind: Option<Kind>, has_password_elsewhere: bool) -> Vec<(String, String)> {
    let shown = without_password(uri);
    let example = kind.unwrap_or(Kind::MySql).example();
    let Some((scheme, rest)) = shown.split_once("://") else {
        // What it is instead, nobody knows; it may well hold a password.
        return vec![("this is no URI".into(), format!("write {example}"))];
    };
    // Before anything of it is shown, as what looks like the host may be half of the password.
    if is_ambiguous(uri) {
        let remedy = format!(
            "percent-encode the password's letters that mean something in a URI ({ENCODED}), or leave it out of the URI: \
             `init` takes it from the environment variable MILLSTREAM_PASSWORD, the configuration has the key `password`"
        );
        return vec![("the URI can be read in several ways, as the password isn't encoded".into(), remedy)];
    }
    let kinds = kind.as_ref().map_or(Kind::ALL, std::slice::from_ref);
    if !kinds.iter().any(|kind| kind.schemes().contains(&scheme)) {
        return vec![wrong_scheme(scheme, rest, kinds)];
    }
    let mut faults = Vec::new();
    let mut fault = |message: &str, suggestion: String| faults.push((message.to_owned(), suggestion));
    let (before_options, options) = rest.split_once('?').unwrap_or((rest, ""));
    if !options.is_empty() {
        let remedy = "leave them out; encryption is set by the key `tls` of the configuration";
        fault("the URI has options after `?`, and takes none", remedy.into());
    }
    let (before_path, path) = before_options.split_once('/').unwrap_or((before_options, ""));
    // Not everybody logs in to a SQL Server by name.
    if kind != Some(Kind::SqlServer) && before_path.split_once('@').is_none_or(|(user, _)| user.is_empty()) {
        fault("the URI names no user", format!("write {example}"));
    }
    if path.is_empty() {
        let which = match kind {
            Some(Kind::SqlServer) => "the one to follow",
            _ => "the one that table names without a database mean",
        };
        fault("the URI names no database", format!("add {which}: {example}"));
    }
    if path.contains('/') {
        fault("the URI's path has several parts", format!("name one database: {example}"));
    }
    if has_password_elsewhere && split_password(uri).is_some() {
        fault("there is a password in the URI and one by the key `password`", "leave one of them out".into());
    }
    faults
}

/// How the letters that end a password within a URI are written.
const ENCODED: &str = "@ as %40, : as %3A, / as %2F, ? as %3F, # as %23, % as %25";

/// Whether a letter of the password, as it seems, stands where it ends the host: nobody can tell which part is which.
fn is_ambiguous(uri: &str) -> bool {
    let rest = uri.split_once("://").map_or(uri, |(_, rest)| rest);
    let (authority, tail) =
        rest.split_at_checked(rest.find(['/', '?', '#']).unwrap_or(rest.len())).unwrap_or((rest, ""));
    let path = tail.split_once('?').map_or(tail, |(path, _)| path);
    match tail.chars().next() {
        Some('/') => authority.contains('@') && path.contains('@'),
        // Neither options nor a fragment come before the path.
        Some(_) => tail.contains('@') || tail.starts_with('#'),
        None => false,
    }
}

fn wrong_scheme(scheme: &str, rest: &str, kinds: &[Kind]) -> (String, String) {
    let begins = |kind: &Kind| format!("{}://", kind.schemes().first().copied().unwrap_or_default());
    let wanted: Vec<String> = kinds.iter().map(begins).collect();
    let is_ours = !scheme.contains(':') && !rest.contains(';');
    let written = kinds.iter().map(|kind| match is_ours {
        true => format!("{}{rest} for {}", begins(kind), kind.servers()),
        // Another program's notation, whose parts stand elsewhere.
        false => format!("{} for {}", kind.example(), kind.servers()),
    });
    let written: Vec<String> = written.collect();
    (
        format!("the URI begins with {scheme}:// where {} is expected", wanted.join(" or ")),
        format!("write {}", written.join(", ")),
    )
}

/// The parts of a URI around its password: `scheme://user`, the password as written, `@host…`.
pub(super) fn split_password(uri: &str) -> Option<(&str, &str, &str)> {
    let authority_at = uri.find("://")? + "://".len();
    let (scheme, rest) = uri.split_at_checked(authority_at)?;
    // A password may hold an unescaped `@` or `/`, which no host does. Where a reading is doubtful, too much is hidden.
    let authority_end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let options_at = rest.find('?').unwrap_or(rest.len());
    let at = rest.get(..authority_end)?.rfind('@').or_else(|| rest.get(..options_at)?.rfind('@'))?;
    let (user_and_password, host) = rest.split_at_checked(at)?;
    let colon = user_and_password.find(':')?;
    let (user, password) = user_and_password.split_at_checked(colon)?;
    uri.get(..scheme.len() + user.len()).map(|before| (before, password.get(1..).unwrap_or_default(), host))
}

/// A URI as it may be shown.
pub(crate) fn without_password(uri: &str) -> String {
    match split_password(uri) {
        Some((before, _, after)) => format!("{before}{after}"),
        None => uri.to_owned(),
    }
}

/// A URI with this password, escaped, in place of the one that it may have.
pub(super) fn with_password(uri: &str, password: &str) -> String {
    let bare = without_password(uri);
    let authority_at = bare.find("://").map_or(0, |at| at + "://".len());
    let at = bare.get(authority_at..).and_then(|rest| rest.find('@')).map(|at| at + authority_at);
    match at.and_then(|at| bare.split_at_checked(at)) {
        Some((before, after)) => format!("{before}:{}{after}", escaped(password)),
        None => bare,
    }
}

/// Percent-encodes everything that could end a password within a URI.
fn escaped(password: &str) -> String {
    let mut result = String::with_capacity(password.len());
    for byte in password.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            result.push(char::from(byte));
        } else {
            result.push_str(&format!("%{byte:02X}"));
        }
    }
    result
}

/// Undoes percent-encoding; what isn't valid stays as it is.
fn unescaped(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let code = after.get(..2).filter(|_| *first == b'%').and_then(|digits| std::str::from_utf8(digits).ok());
        match code.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(byte) => {
                bytes.push(byte);
                rest = after.get(2..).unwrap_or_default();
            }
            None => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_found_and_taken_out() {
        for (uri, password, bare) in [
            ("mysql://u:p@h:3306/d", Some("p"), "mysql://u@h:3306/d"),
            ("mysql://u:p@w:d@h/d?x=a@b", Some("p@w:d"), "mysql://u@h/d?x=a@b"),
            ("mysql://u:a/b@h/d", Some("a/b"), "mysql://u@h/d"),
            ("mysql://u:@h/d", Some(""), "mysql://u@h/d"),
            ("mysql://u@h:3306/d", None, "mysql://u@h:3306/d"),
            ("mysql://h/d", None, "mysql://h/d"),
            ("mysql://h:3306/d?x=a@b", None, "mysql://h:3306/d?x=a@b"),
            ("nonsense", None, "nonsense"),
        ] {
            assert_eq!(split_password(uri).map(|(_, password, _)| password), password, "{uri}");
            assert_eq!(without_password(uri), bare);
        }
    }

    #[test]
    fn a_password_of_any_letters_survives_the_way_into_a_uri_and_back() {
        let password = "p@ss:w/ö%41 ?#";
        let uri = with_password("mysql://u@h:3306/d", password);
        assert_eq!(uri, "mysql://u:p%40ss%3Aw%2F%C3%B6%2541%20%3F%23@h:3306/d");
        let (_, escaped, _) = split_password(&uri).unwrap();
        assert_eq!(unescaped(escaped), password);
        assert_eq!(unescaped("100%"), "100%");
    }

    #[test]
    fn a_typed_uri_is_taken_apart() {
        let given = Given::read("mysql://u:p%40ss@h:3306/my%20shop").ok().unwrap();
        assert_eq!(given.uri, "mysql://u@h:3306/my%20shop");
        assert_eq!(given.password.as_deref(), Some("p@ss"));
        assert_eq!(given.database, "my shop");
        assert_eq!(given.kind, Kind::MySql);
        assert_eq!(Given::read("sqlserver://u@h/d").ok().unwrap().kind, Kind::SqlServer);
    }

    #[test]
    fn a_password_that_ends_the_host_is_told_and_not_shown() {
        for uri in [
            "mysql://root:zq@zq/zq#1@host:3306/shop",
            "mysql://root:zq?zq@host/shop",
            "mysql://root:zq@zq?zq@host/shop",
            "mysql://root:zq@zq#zq@host/shop",
            "mysql://root:zq#zq@host/shop",
            "postgres://root:zq@zq/zq#1@host/shop",
        ] {
            let Err(failure) = Given::read(uri) else { panic!("{uri}") };
            let said = failure.to_string();
            assert!(said.contains("%40") && said.contains("MILLSTREAM_PASSWORD") && !said.contains("zq"), "{said}");
        }
        for uri in ["mysql://u:p@w:d@h/d", "mysql://u:a/b@h/d", "mysql://u:p@h:3306/my%20shop"] {
            assert!(!is_ambiguous(uri), "{uri}");
        }
    }

    #[test]
    fn another_programs_notation_is_not_taken_over() {
        let (_, remedy) = faults("jdbc:sqlserver://h;databaseName=shop", None, false).remove(0);
        assert!(remedy.contains("mssql://user@host:1433/database for") && !remedy.contains(';'), "{remedy}");
        let (_, remedy) = faults("postgres://u@h/shop", None, false).remove(0);
        assert!(remedy.contains("mysql://u@h/shop for"), "{remedy}");
    }

    #[test]
    fn faults_of_a_typed_uri_do_not_show_its_password() {
        for uri in [
            "postgres://u:secret@h/d",
            "mysql://u:secret@h/d/x",
            "u:secret@h",
            "mysql://u:secret@h",
            "mysql://u:secret@h/d?ssl=1",
            "mysql://h/d",
        ] {
            let Err(failure) = Given::read(uri) else { panic!("{uri}") };
            assert!(!failure.to_string().contains("secret"), "{failure}");
        }
    }
}
