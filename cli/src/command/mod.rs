//! The commands, one module each.

mod buckets;
mod check;
mod init;
mod reload;
mod run;
mod schema;
mod status;
mod verify;

use std::process::ExitCode;

use crate::arguments::{Arguments, Command};
use crate::failure::{FAILED, Failure, NOT_COMPARABLE};

/// What is amiss with a file that was changed while `run` runs.
const OUTDATED: &str = "it has changed since `millstream run` began, which goes on with the older one";
const OUTDATED_REMEDY: &str = "restart `millstream run` to deploy it";

/// How a command ended that ended well.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answer {
    /// Done; for a question: yes.
    Good,
    /// The answer is negative: there are problems, or differences.
    Bad,
    /// A comparison could not be made.
    Unknown,
}

/// Carries out what the command line says.
pub(crate) fn execute(arguments: Arguments) -> ExitCode {
    let failed = match arguments.command {
        Command::Verify(_) => NOT_COMPARABLE,
        _ => FAILED,
    };
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            let remedy = "see that the limits on threads and open files allow for it";
            return Failure::io("start", &error, remedy).report(failed);
        }
    };
    let outcome = runtime.block_on(dispatch(arguments));
    // What still runs has nothing to say any more.
    runtime.shutdown_background();
    match outcome {
        Ok(Answer::Good) => ExitCode::SUCCESS,
        Ok(Answer::Bad) => ExitCode::from(FAILED),
        Ok(Answer::Unknown) => ExitCode::from(NOT_COMPARABLE),
        Err(failure) => failure.report(failed),
    }
}

async fn dispatch(arguments: Arguments) -> Result<Answer, Failure> {
    let config = arguments.config.as_path();
    match &arguments.command {
        Command::Init(init) => init::execute(init, config).await?,
        Command::Check(output) => return check::execute(output, config).await,
        Command::Run(run) => run::execute(run, config).await?,
        Command::Status(scope) => status::execute(scope, config).await?,
        Command::Schema(schema) => schema::execute(schema, config).await?,
        Command::Buckets(buckets) => buckets::execute(buckets, config).await?,
        Command::Verify(verify) => return verify::execute(verify, config).await,
        Command::Reload(reload) => reload::execute(reload, config).await?,
    }
    Ok(Answer::Good)
}
