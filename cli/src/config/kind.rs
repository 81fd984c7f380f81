//! The kinds of databases that can be followed, as the configuration and URIs name them.

/// A kind of source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// MySQL and MariaDB.
    MySql,
    /// SQL Server and Azure SQL.
    SqlServer,
}

impl Kind {
    pub(crate) const ALL: &'static [Kind] = &[Kind::MySql, Kind::SqlServer];
    /// The words of all.
    pub(super) const WORDS: &'static [&'static str] = &[Kind::MySql.word(), Kind::SqlServer.word()];

    /// What `type` says.
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Kind::MySql => "mysql",
            Kind::SqlServer => "sqlserver",
        }
    }

    pub(super) fn of_word(word: &str) -> Option<Kind> {
        Kind::ALL.iter().copied().find(|kind| kind.word() == word)
    }

    /// What its URIs begin with; the first is the one to recommend.
    pub(super) const fn schemes(self) -> &'static [&'static str] {
        match self {
            Kind::MySql => &["mysql"],
            Kind::SqlServer => &["mssql", "sqlserver"],
        }
    }

    pub(super) fn of_scheme(scheme: &str) -> Option<Kind> {
        Kind::ALL.iter().copied().find(|kind| kind.schemes().contains(&scheme))
    }

    /// How a URI looks.
    pub(super) const fn example(self) -> &'static str {
        match self {
            Kind::MySql => "mysql://user@host:3306/database",
            Kind::SqlServer => "mssql://user@host:1433/database",
        }
    }

    /// Which servers it is for.
    pub(crate) const fn servers(self) -> &'static str {
        match self {
            Kind::MySql => "MySQL or MariaDB",
            Kind::SqlServer => "SQL Server or Azure SQL",
        }
    }
}
