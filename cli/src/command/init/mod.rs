//! `millstream init`: looks at a database and writes files that work at once.

mod template;

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use millstream_core::error::{SourceError, chain};
use millstream_core::schema::TableSchema;
use millstream_core::selection::{Selection, TablePattern};
use millstream_core::source::{Problem, Severity};

use crate::arguments::Init;
use crate::config::{self, Config, ENVIRONMENT_FILE, Faults, Given, SYNC_CONFIG_FILE, without_password};
use crate::deployment::PATTERN_SUBJECT;
use crate::failure::Failure;
use crate::output::Out;
use template::Described;

/// The variable that the password is written to and looked for.
const PASSWORD_VARIABLE: &str = "MILLSTREAM_PASSWORD";
/// For the user that runs millstream alone.
const SECRET_MODE: u32 = 0o600;
const PUBLIC_MODE: u32 = 0o644;

/// A file to write.
struct NewFile {
    path: PathBuf,
    content: String,
    mode: u32,
}

pub(super) async fn execute(arguments: &Init, config_file: &Path) -> Result<(), Failure> {
    let given = Given::read(&arguments.uri)?;
    let from_environment = std::env::var(PASSWORD_VARIABLE).ok().filter(|_| given.password.is_none());
    let password = given.password.clone().or_else(|| from_environment.clone());
    let name = arguments.source.clone().unwrap_or_else(|| template::source_name(&given.database));
    let folder = config::folder_of(config_file);
    let config = template::config(&Described {
        name: &name,
        kind: given.kind,
        uri: &given.uri,
        password_variable: password.as_ref().map(|_| PASSWORD_VARIABLE),
        tls_mode: arguments.tls.as_deref(),
        ca_certificate: arguments.ca_certificate.as_deref().map(|file| seen_from(&folder, file)).transpose()?,
    });
    // What is written is read as `run` will read it, so that it works for `run` as it does here.
    let read = Config::of_text(&config, config_file, (PASSWORD_VARIABLE, password.as_deref().unwrap_or_default()))
        .map_err(Faults::into_failure)?;
    let Some(source) = read.sources.first() else {
        return Err(Failure::new("the configuration has no source", "this is a fault of millstream: please report it"));
    };
    // The source's other settings are those that this wrote.
    let at_fault =
        |failure: Failure| Failure::new(failure.into_parts().0, "correct the URI, or the options of the command");
    let connector = source.connector().map_err(at_fault)?;
    let schema = source.default_schema().unwrap_or_else(|| given.database.clone());
    let mut schemas = connector.schemas().await.map_err(unreached)?;
    schemas.push(schema.clone());
    schemas.sort();
    schemas.dedup();
    let everything = schemas.into_iter().map(|schema| TablePattern { schema, table: "%".into() });
    let selection = Selection { patterns: everything.collect() };
    let tables = connector.tables(&selection).await.map_err(unreached)?;
    if tables.is_empty() {
        refuse_nothing(&given.database, &schema, &connector.check(&selection).await?)?;
    }
    // What is left out of the sync config is nobody's concern.
    let (selected, left_out): (Vec<&TableSchema>, Vec<&TableSchema>) =
        tables.iter().map(AsRef::as_ref).partition(|table| template::data_query(table, &schema, given.kind).is_ok());
    let patterns = selected.iter().map(|table| TablePattern::exactly(&table.table)).collect();
    let problems = connector.check(&Selection { patterns }).await?;

    let files = files(
        config,
        template::sync_config(&given.database, &schema, given.kind, &tables),
        &given,
        config_file,
        &folder,
    )?;
    refuse_existing(&files, arguments.force)?;
    for file in &files {
        write(file).map_err(|error| {
            Failure::io(format!("write {}", file.path.display()), &error, "choose a folder that this user may write to")
        })?;
    }
    let errors = problems.iter().filter(|problem| problem.severity == Severity::Error).count();
    let hidden: Vec<&TableSchema> = selected.into_iter().filter(|table| template::hides_a_column(table)).collect();
    let found = (tables.len(), left_out.as_slice(), hidden.as_slice());
    report(&given, found, &files, (errors, problems.len() - errors), config_file)
}

/// There is no configuration yet that other commands could look at.
fn unreached(error: SourceError) -> Failure {
    match error {
        SourceError::Transient { .. } => Failure::new(
            without_password(&chain(&error)),
            "see that the database runs and can be reached from here under the URI's host and port",
        ),
        other => Failure::from(other),
    }
}

/// A file's name as it is written in a configuration in this folder.
fn seen_from(folder: &Path, file: &Path) -> Result<PathBuf, Failure> {
    if folder == Path::new(".") {
        return Ok(file.to_owned());
    }
    fs::canonicalize(file).map_err(|error| {
        Failure::io(format!("find {}", file.display()), &error, "name the file with the authority's certificate")
    })
}

fn files(
    config: String,
    sync_config: String,
    given: &Given,
    config_file: &Path,
    folder: &Path,
) -> Result<Vec<NewFile>, Failure> {
    let mut files = vec![
        NewFile { path: config_file.to_owned(), content: config, mode: PUBLIC_MODE },
        NewFile { path: config::within(folder, SYNC_CONFIG_FILE), content: sync_config, mode: PUBLIC_MODE },
    ];
    // A password that is in the environment already needs no file.
    if let Some(password) = &given.password {
        let content = template::environment(PASSWORD_VARIABLE, password).ok_or_else(|| {
            let remedy = format!("leave it out of the URI and set the environment variable {PASSWORD_VARIABLE}");
            Failure::new(format!("{ENVIRONMENT_FILE} can't hold a password with a line break"), remedy)
        })?;
        files.push(NewFile { path: config::within(folder, ENVIRONMENT_FILE), content, mode: SECRET_MODE });
    }
    Ok(files)
}

/// What is in the way of following the database is for `check` to say; files can be written all the same. But about a
/// database of which nothing can be seen there is nothing to write.
fn refuse_nothing(database: &str, schema: &str, problems: &[Problem]) -> Result<(), Failure> {
    // That the tables are hidden says more than what is wrong with the database besides.
    let subjects = [format!("{PATTERN_SUBJECT}{schema}.%"), format!("database {database}")];
    let hidden = |subject: &String| {
        problems.iter().find(|problem| problem.severity == Severity::Error && problem.subject == *subject)
    };
    match subjects.iter().find_map(hidden) {
        Some(problem) => Err(Failure::new(format!("{}: {}", problem.subject, problem.found), problem.remedy.clone())),
        None => Ok(()),
    }
}

/// Nothing is written if anything would be lost.
fn refuse_existing(files: &[NewFile], force: bool) -> Result<(), Failure> {
    let existing: Vec<String> =
        files.iter().filter(|file| file.path.exists()).map(|file| file.path.display().to_string()).collect();
    if force || existing.is_empty() {
        return Ok(());
    }
    Err(Failure::new(
        format!(
            "{} {} already; nothing was written",
            existing.join(" and "),
            if existing.len() == 1 { "exists" } else { "exist" }
        ),
        "choose another place with --config FOLDER/millstream.yaml, or overwrite with --force",
    ))
}

/// Writes a file whole or not at all, never readable for more users than `mode` says.
fn write(file: &NewFile) -> io::Result<()> {
    if let Some(folder) = file.path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        fs::create_dir_all(folder)?;
    }
    let mut new = file.path.clone().into_os_string();
    new.push(".new");
    match fs::remove_file(&new) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, file.mode);
    let mut handle = options.open(&new)?;
    handle.write_all(file.content.as_bytes())?;
    handle.sync_all()?;
    fs::rename(&new, &file.path)
}

fn report(
    given: &Given,
    (tables, left_out, hidden): (usize, &[&TableSchema], &[&TableSchema]),
    files: &[NewFile],
    (errors, warnings): (usize, usize),
    config_file: &Path,
) -> Result<(), Failure> {
    let mut out = Out::new();
    out.line(format!("Found {} in {}.", counted(tables, "table"), given.uri))?;
    for file in files {
        let note = match &file.path {
            path if path.ends_with(ENVIRONMENT_FILE) => "  (holds the password; keep it out of version control)",
            path if path.ends_with(SYNC_CONFIG_FILE) => "  (which rows go into which bucket; edit to taste)",
            _ => "",
        };
        out.line(format!("Wrote {}{note}", file.path.display()))?;
    }
    for table in left_out {
        out.line(format!("Left out {}: the sync config says why.", table.table))?;
    }
    for table in hidden {
        out.line(format!("The column id of {} isn't its key: the sync config says what becomes of it.", table.table))?;
    }
    let found = [(errors, "problem"), (warnings, "warning")];
    let found: Vec<String> =
        found.iter().filter(|(count, _)| *count > 0).map(|(count, what)| counted(*count, what)).collect();
    if !found.is_empty() {
        let found = found.join(" and ");
        out.line(format!("With the set-up: {found}; the next command shows what mends each."))?;
    }
    let option = match config_file.as_os_str() == config::CONFIG_FILE {
        true => String::new(),
        false => format!(" --config {}", config_file.display()),
    };
    out.line(format!("Next: millstream check{option}, then millstream run{option}"))?;
    out.finish()
}

fn counted(number: usize, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}
