//! Where a server's programs are, and the data directory that its new servers begin with.

use std::ffi::OsStr;
use std::fmt;
use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::error::{Error, io};

/// The kinds of server that the test kit can start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Flavor {
    /// MySQL, 9.7 where the test kit fetches it.
    MySql,
    /// MariaDB, 10.11 where the test kit fetches it.
    MariaDb,
}

impl Flavor {
    /// Both, for tests that run on each.
    pub const ALL: [Flavor; 2] = [Flavor::MySql, Flavor::MariaDb];

    /// `mysql` or `mariadb`: in file names, in `MILLSTREAM_SKIP_SERVERS` and in messages.
    pub fn name(self) -> &'static str {
        match self {
            Flavor::MySql => "mysql",
            Flavor::MariaDb => "mariadb",
        }
    }
}

impl fmt::Display for Flavor {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

/// A folder with a server's programs, as `servers/get-mysql` and `servers/get-mariadb` make it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prefix {
    flavor: Flavor,
    path: PathBuf,
    version: String,
}

/// Part of a template's name: raise it when a template's content changes, so that older ones are not used.
const TEMPLATE_FORMAT: u32 = 1;
/// MySQL's smallest redo log: the template is copied for every server.
const TEMPLATE_REDO_BYTES: &str = "8M";
const LOG_TAIL_LINES: usize = 15;

impl Prefix {
    /// Gets the server if it is not in the cache yet; blocks, for up to minutes then. Progress goes to standard error.
    pub fn get(flavor: Flavor) -> Result<Self, Error> {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("servers").join(format!("get-{flavor}"));
        let mut child = Command::new(&script)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(io("run", &script))?;
        let mut messages = Vec::new();
        if let Some(stderr) = child.stderr.take() {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                eprintln!("{line}");
                messages.push(line);
            }
        }
        let output = child.wait_with_output().map_err(io("run", &script))?;
        if !output.status.success() {
            return Err(Error::GetServer { flavor: flavor.name(), script, output: messages.join("\n") });
        }
        let path = PathBuf::from(String::from_utf8_lossy(&output.stdout).trim_end());
        let version_file = path.join("version");
        let version = fs::read_to_string(&version_file).map_err(io("read", version_file))?.trim().to_owned();
        Ok(Self { flavor, path, version })
    }

    /// The kind of server.
    pub fn flavor(&self) -> Flavor {
        self.flavor
    }

    /// The server's version, as `9.7.4`.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// The server itself, or one of its tools by MySQL's name: `mysql`, `mysqldump`, `mysqlbinlog`, `mysqladmin`.
    pub fn program(&self, name: &str) -> PathBuf {
        self.path.join("bin").join(name)
    }

    /// A data directory to copy for a new server, made by the first that asks: making one takes seconds, copying little.
    /// `name_case` is MySQL's `lower_case_table_names`, which a data directory keeps for ever.
    pub(crate) fn template(&self, name_case: Option<&str>) -> Result<PathBuf, Error> {
        let variant = name_case.map(|value| format!("-names{value}")).unwrap_or_default();
        let name = format!("template-{}-{}-{TEMPLATE_FORMAT}{variant}", self.flavor, self.version);
        // Beside the prefix, which is in the cache folder.
        let cache = self.path.parent().unwrap_or(&self.path);
        let template = cache.join(&name);
        if template.is_dir() {
            return Ok(template);
        }
        let lock_path = cache.join(format!("{name}.lock"));
        let lock = File::create(&lock_path).map_err(io("create", &lock_path))?;
        lock.lock().map_err(io("lock", &lock_path))?;
        if template.is_dir() {
            return Ok(template);
        }
        let making = cache.join(format!("{name}.making"));
        remove_folder(&making)?;
        self.initialize(&making, &cache.join(format!("{name}.log")), name_case)?;
        // Each server makes its own identity at its first start.
        let identity = making.join("auto.cnf");
        if identity.exists() {
            fs::remove_file(&identity).map_err(io("remove", identity))?;
        }
        fs::rename(&making, &template).map_err(io("rename", making))?;
        Ok(template)
    }

    fn initialize(&self, data: &Path, log: &Path, name_case: Option<&str>) -> Result<(), Error> {
        let program = self.program("initialize");
        let log_file = File::create(log).map_err(io("create", log))?;
        let small_redo = match self.flavor {
            Flavor::MySql => format!("--innodb-redo-log-capacity={TEMPLATE_REDO_BYTES}"),
            Flavor::MariaDb => format!("--innodb-log-file-size={TEMPLATE_REDO_BYTES}"),
        };
        let status = Command::new(&program)
            .args([data.as_os_str(), OsStr::new(&small_redo)])
            .args(name_case.map(|value| format!("--lower-case-table-names={value}")))
            .stdin(Stdio::null())
            .stdout(log_file.try_clone().map_err(io("open", log))?)
            .stderr(log_file)
            .status()
            .map_err(io("run", &program))?;
        if status.success() { Ok(()) } else { Err(Error::Initialize { program, log: tail(log) }) }
    }
}

/// The last lines of a log, for a message.
pub(crate) fn tail(log: &Path) -> String {
    let bytes = fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    let lines: Vec<&str> = text.lines().collect();
    lines.iter().skip(lines.len().saturating_sub(LOG_TAIL_LINES)).fold(String::new(), |all, line| all + line + "\n")
}

pub(crate) fn remove_folder(path: &Path) -> Result<(), Error> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(io("remove", path)(error)),
        _ => Ok(()),
    }
}

/// Copies a folder with all that is in it; shares the blocks where the file system can.
pub(crate) fn copy_folder(from: &Path, to: &Path) -> Result<(), Error> {
    fs::create_dir_all(to).map_err(io("create", to))?;
    for entry in fs::read_dir(from).map_err(io("read", from))? {
        let entry = entry.map_err(io("read", from))?;
        let (source, target) = (entry.path(), to.join(entry.file_name()));
        if entry.file_type().map_err(io("read", &source))?.is_dir() {
            copy_folder(&source, &target)?;
        } else {
            fs::copy(&source, &target).map_err(io("copy", &source))?;
        }
    }
    Ok(())
}
