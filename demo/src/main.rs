//! Shows Millstream at work on a server of its own with a sample shop: its buckets, changes of rows and of schemas, and
//! the proof that the buckets equal the database.
//!
//! Everything is done through the `millstream` command, as a user would.

mod command;
mod mysql;
#[cfg(feature = "sqlserver")]
mod sqlserver;
mod stage;

use std::error::Error;
use std::process::ExitCode;

type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

#[tokio::main]
async fn main() -> ExitCode {
    let source = std::env::args().nth(1);
    let show = async {
        match source.as_deref() {
            None | Some("mysql") => mysql::show().await,
            #[cfg(feature = "sqlserver")]
            Some("sqlserver") => sqlserver::show().await,
            #[cfg(not(feature = "sqlserver"))]
            Some("sqlserver") => Err("this program was built without the feature `sqlserver`".into()),
            Some(other) => Err(format!("there is nothing to show for `{other}`: write mysql or sqlserver").into()),
        }
    };
    let outcome = tokio::select! {
        outcome = show => outcome,
        _ = tokio::signal::ctrl_c() => Err("interrupted; nothing is left running".into()),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{} {error}", console::style("error:").red().bold().for_stderr());
            ExitCode::FAILURE
        }
    }
}
