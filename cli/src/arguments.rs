//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::config::CONFIG_FILE;

/// Follow the changes of a database and keep sync buckets equal to it.
#[derive(Debug, Parser)]
#[command(
    name = "millstream",
    version,
    propagate_version = true,
    disable_help_subcommand = true,
    after_help = "First steps:\n  \
        millstream init mysql://user:password@host:3306/database\n  \
        millstream check\n  \
        millstream run\n\n\
        Every command also works while `millstream run` is running.\n\
        Exit codes: 0 done, 1 failed or a negative answer, 2 wrong usage or (verify) not comparable, 130 interrupted."
)]
pub(crate) struct Arguments {
    /// The configuration; other paths in it are relative to its folder
    #[arg(short, long, value_name = "FILE", default_value = CONFIG_FILE, global = true)]
    pub(crate) config: PathBuf,

    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Look at a database and write a configuration that works
    ///
    /// Writes millstream.yaml, sync-config.yaml and, if the URI has a password, millstream.env, which holds it.
    /// The bucket definition it writes puts every table whole into one bucket; edit it to taste, then run
    /// `millstream check`.
    ///
    /// To keep the password out of the shell's history, leave it out of the URI and set MILLSTREAM_PASSWORD.
    Init(Init),

    /// Find every problem at once: server settings, privileges, tables, configuration, sync config
    ///
    /// Each problem comes with what mends it, as SQL or configuration. Exit code 1 if one prevents running.
    Check(Output),

    /// Read the tables, then follow their changes until stopped
    ///
    /// Continues where it stopped last time. Ctrl-C or SIGTERM stops cleanly, a second one at once; neither loses
    /// anything. What happens is logged to standard error; MILLSTREAM_LOG chooses how much (error, warn, info, debug).
    Run(Run),

    /// Show how far each source is, its tables and the checkpoint
    Status(Scoped),

    /// Show the tables as they are tracked now, or the history of their changes
    ///
    /// For each table: columns with their types, the identity that names its rows, and a version that changes with the
    /// content.
    Schema(Schema),

    /// Show the buckets, or what is in them
    #[command(subcommand_value_name = "SUBCOMMAND")]
    Buckets(Buckets),

    /// Read the source again and compare it with the buckets
    ///
    /// Exit code 0 if they are equal, 1 with the differences by table and key, 2 if something could not be compared.
    /// If millstream isn't running, the buckets are first brought to the source's position, and a changed sync config is
    /// deployed, as `run` would.
    Verify(Verify),

    /// Read a table again now and write only the differences
    ///
    /// If millstream isn't running, the buckets are first brought to the source's position, and a changed sync config is
    /// deployed, as `run` would.
    Reload(Reload),
}

#[derive(Debug, Args)]
pub(crate) struct Init {
    /// The database, as mysql://user:password@host:3306/database (MySQL and MariaDB) or
    /// mssql://user:password@host:1433/database (SQL Server and Azure SQL)
    #[arg(value_name = "URI")]
    pub(crate) uri: String,

    /// What to call the source [default: the database's name]
    #[arg(long, value_name = "NAME")]
    pub(crate) source: Option<String>,

    /// Encryption of the connections, as the key `tls` of the configuration has it: verify_identity, required, ...
    /// [default: preferred; for SQL Server verify_identity]
    #[arg(long, value_name = "MODE")]
    pub(crate) tls: Option<String>,

    /// A file with the authority that signed the server's certificate
    #[arg(long, value_name = "FILE")]
    pub(crate) ca_certificate: Option<PathBuf>,

    /// Overwrite files that exist
    #[arg(long)]
    pub(crate) force: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Output {
    /// Print JSON, for programs
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Run {
    /// Stop once everything that was committed at the sources before the start is in the buckets and checkpointed
    #[arg(long)]
    pub(crate) until_current: bool,

    /// How log lines look
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t = LogFormat::Text)]
    pub(crate) log_format: LogFormat,
}

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    /// For people
    Text,
    /// One object a line
    Json,
}

#[derive(Debug, Args)]
pub(crate) struct Scoped {
    /// Only this source [default: all]
    #[arg(long, value_name = "NAME")]
    pub(crate) source: Option<String>,

    #[command(flatten)]
    pub(crate) output: Output,
}

#[derive(Debug, Args)]
pub(crate) struct Schema {
    /// Show every schema change so far: when, what, its effect, rows read again, ops written
    #[arg(long)]
    pub(crate) history: bool,

    #[command(flatten)]
    pub(crate) scope: Scoped,
}

#[derive(Debug, Args)]
pub(crate) struct Buckets {
    /// Print JSON, for programs
    #[arg(long, global = true)]
    pub(crate) json: bool,

    #[command(subcommand)]
    pub(crate) command: Option<BucketsCommand>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum BucketsCommand {
    /// Print the live rows of one bucket, or of all
    Dump(Dump),
}

#[derive(Debug, Args)]
pub(crate) struct Dump {
    /// A bucket's name, as `millstream buckets` shows it [default: all buckets]
    #[arg(value_name = "NAME")]
    pub(crate) bucket: Option<String>,

    /// Print the op log instead of the live rows
    #[arg(long)]
    pub(crate) ops: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Verify {
    /// Only these tables, as `table`, `database.table` or `source.database.table` [default: all]
    #[arg(value_name = "TABLE")]
    pub(crate) tables: Vec<String>,

    #[command(flatten)]
    pub(crate) scope: Scoped,
}

#[derive(Debug, Args)]
pub(crate) struct Reload {
    /// Which table, as `table`, `database.table` or `source.database.table`
    #[arg(value_name = "TABLE")]
    pub(crate) table: String,

    #[command(flatten)]
    pub(crate) scope: Scoped,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn the_config_may_stand_before_or_after_the_command() {
        for line in [["millstream", "--config", "x.yaml", "status"], ["millstream", "status", "--config", "x.yaml"]] {
            assert_eq!(Arguments::try_parse_from(line).unwrap().config, PathBuf::from("x.yaml"));
        }
        assert_eq!(Arguments::try_parse_from(["millstream", "run"]).unwrap().config, PathBuf::from("millstream.yaml"));
    }

    #[test]
    fn buckets_stands_alone_or_dumps() {
        let parse = |line: &str| Arguments::try_parse_from(line.split(' ')).unwrap().command;
        let Command::Buckets(buckets) = parse("millstream buckets --json") else { panic!() };
        assert!(buckets.json && buckets.command.is_none());
        for line in
            ["millstream buckets dump everything[] --ops --json", "millstream buckets --json dump everything[] --ops"]
        {
            let Command::Buckets(buckets) = parse(line) else { panic!() };
            let Some(BucketsCommand::Dump(dump)) = buckets.command else { panic!() };
            assert_eq!(dump.bucket.as_deref(), Some("everything[]"));
            assert!(dump.ops && buckets.json);
        }
    }
}
