//! A private server by hand, to look at something that a test does:
//!
//! ```text
//! cargo run -p millstream-testkit -- mysql gtid_mode=ON enforce_gtid_consistency=ON
//! ```
//!
//! prints the server's URI and tools and runs it until Ctrl-C. Nothing of it stays.

use std::env;
use std::process::ExitCode;

use millstream_testkit::{Error, Flavor, Server, ServerOptions};

const USAGE: &str = "usage: millstream-testkit mysql|mariadb [SETTING=VALUE | SETTING]...";

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let mut arguments = env::args().skip(1);
    let name = arguments.next().unwrap_or_default();
    let Some(flavor) = Flavor::ALL.into_iter().find(|flavor| flavor.name() == name) else {
        eprintln!("{USAGE}");
        return ExitCode::from(2);
    };
    let options = arguments.fold(ServerOptions::new(), |options, argument| match argument.split_once('=') {
        Some((setting, value)) => options.set(setting, value),
        None => options.flag(&argument),
    });
    match serve(flavor, options).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            let mut cause = std::error::Error::source(&error);
            while let Some(error) = cause {
                eprintln!("  because: {error}");
                cause = error.source();
            }
            ExitCode::FAILURE
        }
    }
}

async fn serve(flavor: Flavor, options: ServerOptions) -> Result<(), Error> {
    let server = Server::start(flavor, options).await?;
    println!("{flavor} {} is ready", server.version());
    println!("uri     {}", server.uri("root", "", ""));
    println!("client  {} --no-defaults -uroot -S {}", server.tool("mysql")?.display(), server.socket()?.display());
    println!("data    {}", server.data_dir()?.display());
    println!("process {}", server.process_id().unwrap_or_default());
    println!("Ctrl-C ends it and removes the data");
    if tokio::signal::ctrl_c().await.is_err() {
        eprintln!("can't wait for Ctrl-C, so the server ends now");
    }
    Ok(())
}
