//! The conformance suite on MySQL and on MariaDB.

mod server;
mod types;

/// On MySQL.
mod mysql {
    use millstream_testkit::conformance_suite;

    use super::server::MySql;

    conformance_suite!(MySql);
}

/// On MariaDB.
mod mariadb {
    use millstream_testkit::conformance_suite;

    use super::server::MariaDb;

    conformance_suite!(MariaDb);
}
