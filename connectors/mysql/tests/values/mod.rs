//! Values: whatever the type, a row from the log and the same row from a query are identical.

/// For each body, one test on each kind of server, run with little and with all of the log's metadata.
macro_rules! on_servers {
    ($($body:ident),+) => {
        $(mod $body {
            use millstream_testkit::{Flavor, require_server};

            use crate::values::bed::Bed;

            #[tokio::test(flavor = "multi_thread")]
            async fn mysql() {
                require_server!(Flavor::MySql);
                for bed in Bed::all(Flavor::MySql).await {
                    super::$body(&bed).await;
                }
            }

            #[tokio::test(flavor = "multi_thread")]
            async fn mariadb() {
                require_server!(Flavor::MariaDb);
                for bed in Bed::all(Flavor::MariaDb).await {
                    super::$body(&bed).await;
                }
            }
        })+
    };
}

/// As `on_servers`, for what only one kind of server has.
macro_rules! on_one {
    ($server:ident, $($body:ident),+) => {
        $(mod $body {
            use millstream_testkit::{Flavor, require_server};

            use crate::values::bed::Bed;

            #[tokio::test(flavor = "multi_thread")]
            async fn only() {
                require_server!(Flavor::$server);
                for bed in Bed::all(Flavor::$server).await {
                    super::$body(&bed).await;
                }
            }
        })+
    };
}

mod bed;
mod binaries;
mod charsets;
mod documents;
mod images;
mod keyless;
mod keys;
mod labels;
mod numbers;
mod server_columns;
mod temporals;
mod texts;
mod virtual_columns;
mod widths;
