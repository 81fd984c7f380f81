//! The settings that a test's server is started with.

use std::path::Path;

use crate::container::{ContainerRequest, image};
use crate::server::random_server_id;
use crate::{Flavor, tls};

/// Settings for a server. What is not set here is the server's own default, except for a few that make it small and
/// fast: no flush at each commit (a kill of the server loses nothing, a crash of the machine might), no performance
/// schema, a small buffer pool.
///
/// The binary log is on, in row format; GTIDs and row metadata are as the server ships them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServerOptions {
    settings: Vec<(String, Option<String>)>,
    pub(crate) tls: bool,
}

const BUFFER_POOL_BYTES: &str = "64M";
const REDO_LOG_BYTES: &str = "64M";
const MAX_CONNECTIONS: &str = "250";

impl ServerOptions {
    /// The defaults.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds `--name=value`; of two settings with the same name the later wins, and either wins over the default.
    #[must_use]
    pub fn set(mut self, name: &str, value: &str) -> Self {
        self.settings.push((name.to_owned(), Some(value.to_owned())));
        self
    }

    /// Adds `--name`, for options that take no value, as `skip-log-bin`.
    #[must_use]
    pub fn flag(mut self, name: &str) -> Self {
        self.settings.push((name.to_owned(), None));
        self
    }

    /// Turns GTIDs on. MariaDB always has its own kind.
    #[must_use]
    pub fn gtid(self, flavor: Flavor) -> Self {
        match flavor {
            Flavor::MySql => self.set("gtid_mode", "ON").set("enforce_gtid_consistency", "ON"),
            Flavor::MariaDb => self,
        }
    }

    /// Makes the server speak TLS with a certificate for 127.0.0.1, not `localhost`, signed by an authority made for this
    /// server: [`Endpoint::ca_certificate`](crate::Endpoint::ca_certificate). Without it MySQL has a certificate of its
    /// own that names no host, and MariaDB has no TLS.
    #[must_use]
    pub fn tls(mut self) -> Self {
        self.tls = true;
        self
    }

    /// Commits that survive a crash of the machine, at the speed of the disk: for measurements.
    #[must_use]
    pub fn durable(self) -> Self {
        self.set("innodb_flush_log_at_trx_commit", "1").set("sync_binlog", "1")
    }

    /// A server with these settings in a container of an official image, or of the one that `MILLSTREAM_MYSQL_IMAGE` or
    /// `MILLSTREAM_MARIADB_IMAGE` names. The image's own entry point gives more.
    pub(crate) fn container(&self, flavor: Flavor) -> ContainerRequest {
        let (variable, official) = match flavor {
            Flavor::MySql => ("MILLSTREAM_MYSQL_IMAGE", "mysql:9"),
            Flavor::MariaDb => ("MILLSTREAM_MARIADB_IMAGE", "mariadb:11"),
        };
        let mut arguments = vec![
            format!("--server-id={}", random_server_id()),
            "--log-bin=binlog".to_owned(),
            "--binlog-format=ROW".to_owned(),
            "--sync-binlog=0".to_owned(),
            "--innodb-flush-log-at-trx-commit=2".to_owned(),
            format!("--max-connections={MAX_CONNECTIONS}"),
            "--performance-schema=OFF".to_owned(),
        ];
        arguments.extend(self.own());
        ContainerRequest {
            image: image(variable, official),
            port: 3306,
            environment: vec![("MYSQL_ALLOW_EMPTY_PASSWORD", "yes".to_owned())],
            arguments,
        }
    }

    /// What of the test's own settings a data directory of MySQL must have been made with: how names of tables compare.
    pub(crate) fn name_case(&self, flavor: Flavor) -> Option<&str> {
        let settings = self.settings.iter().rev();
        let is_meant = |name: &str| name.replace('-', "_") == "lower_case_table_names" && flavor == Flavor::MySql;
        settings
            .filter(|(name, _)| is_meant(name))
            .find_map(|(_, value)| value.as_deref())
            .filter(|value| *value != "0")
    }

    /// The test's own settings as arguments.
    fn own(&self) -> impl Iterator<Item = String> {
        self.settings.iter().map(|(name, value)| match value {
            Some(value) => format!("--{name}={value}"),
            None => format!("--{name}"),
        })
    }

    /// The command line for a server in `dir`. The folder holds `data`, `tmp` and the socket.
    pub(crate) fn arguments(
        &self,
        flavor: Flavor,
        dir: &Path,
        socket: &Path,
        port: u16,
        server_id: u32,
    ) -> Vec<String> {
        let path = |name: &str| dir.join(name).display().to_string();
        let mut arguments = vec![
            format!("--datadir={}", path("data")),
            format!("--tmpdir={}", path("tmp")),
            format!("--socket={}", socket.display()),
            format!("--pid-file={}", path("mysqld.pid")),
            format!("--port={port}"),
            "--bind-address=127.0.0.1".to_owned(),
            "--skip-name-resolve".to_owned(),
            format!("--server-id={server_id}"),
            "--log-bin=binlog".to_owned(),
            "--binlog-format=ROW".to_owned(),
            "--sync-binlog=0".to_owned(),
            "--innodb-flush-log-at-trx-commit=2".to_owned(),
            format!("--innodb-buffer-pool-size={BUFFER_POOL_BYTES}"),
            format!("--max-connections={MAX_CONNECTIONS}"),
            "--performance-schema=OFF".to_owned(),
        ];
        match flavor {
            Flavor::MySql => {
                arguments.push("--mysqlx=OFF".to_owned());
                arguments.push(format!("--innodb-redo-log-capacity={REDO_LOG_BYTES}"));
            }
            Flavor::MariaDb => arguments.push(format!("--innodb-log-file-size={REDO_LOG_BYTES}")),
        }
        if self.tls {
            arguments.extend(tls::arguments(dir));
        }
        // Servers read their options in order, so the test's own come last and win.
        arguments.extend(self.own());
        arguments
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tests_own_setting_comes_after_the_default() {
        let options = ServerOptions::new().set("performance-schema", "ON").flag("skip-log-bin");
        let arguments = options.arguments(Flavor::MySql, Path::new("/d"), Path::new("/d/s"), 4000, 7);
        let place = |wanted: &str| arguments.iter().position(|argument| argument == wanted).unwrap();
        assert!(place("--performance-schema=OFF") < place("--performance-schema=ON"));
        assert_eq!(place("--skip-log-bin"), arguments.len() - 1);
        assert!(arguments.contains(&"--datadir=/d/data".to_owned()));
    }
}
