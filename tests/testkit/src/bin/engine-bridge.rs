//! Lets the client library of the container tests talk to a container engine that is older than it: the library asks
//! for one version of the engine's API and knows no other, though what the tests use of it has been there for long.
//!
//! ```text
//! engine-bridge SOCKET WANTED SPOKEN     as in: engine-bridge /var/run/docker.sock 1.52 1.41
//! ```
//!
//! prints a port on 127.0.0.1, for `DOCKER_HOST=tcp://127.0.0.1:PORT`, and passes on to the socket what comes there,
//! with the version in each request's first line replaced. Ends when its standard input does.

use std::env;
use std::io::{self, Error};
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UnixStream};

const USAGE: &str = "usage: engine-bridge SOCKET WANTED SPOKEN, versions being of one length, as 1.52 1.41";
const BUFFER_BYTES: usize = 64 * 1024;

struct Bridge {
    socket: PathBuf,
    wanted: Vec<u8>,
    spoken: Vec<u8>,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [socket, wanted, spoken] = arguments.as_slice() else {
        eprintln!("{USAGE}");
        return ExitCode::from(2);
    };
    // Of one length, so that no length in a request becomes wrong.
    if wanted.len() != spoken.len() {
        eprintln!("{USAGE}");
        return ExitCode::from(2);
    }
    let in_path = |version: &str| format!(" /v{version}/").into_bytes();
    let bridge = Bridge { socket: socket.into(), wanted: in_path(wanted), spoken: in_path(spoken) };
    match serve(Arc::new(bridge)).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn serve(bridge: Arc<Bridge>) -> io::Result<()> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    println!("{}", listener.local_addr()?.port());
    let input_ends = tokio::task::spawn_blocking(|| io::copy(&mut io::stdin(), &mut io::sink()));
    let accept = async {
        loop {
            let (client, _) = listener.accept().await?;
            let bridge = Arc::clone(&bridge);
            // What goes wrong with one connection its maker sees.
            tokio::spawn(async move { bridge.pass(client).await });
        }
    };
    tokio::select! {
        ended = input_ends => ended.map_err(Error::other)?.map(drop),
        failed = accept => failed,
    }
}

impl Bridge {
    async fn pass(&self, client: TcpStream) -> io::Result<()> {
        let engine = UnixStream::connect(&self.socket).await?;
        let (mut from_client, mut to_client) = client.into_split();
        let (mut from_engine, mut to_engine) = engine.into_split();
        let upward = async {
            let mut buffer = vec![0; BUFFER_BYTES];
            loop {
                let count = from_client.read(&mut buffer).await?;
                let Some(bytes @ [_, ..]) = buffer.get_mut(..count) else { return to_engine.shutdown().await };
                self.rewrite(bytes);
                to_engine.write_all(bytes).await?;
            }
        };
        let downward = async { tokio::io::copy(&mut from_engine, &mut to_client).await.map(drop) };
        tokio::try_join!(upward, downward).map(drop)
    }

    /// The client sends the head of a request at once, so a first line is the first of what is read.
    fn rewrite(&self, bytes: &mut [u8]) {
        let end = bytes.iter().position(|byte| *byte == b'\n').unwrap_or(bytes.len());
        let line = bytes.get_mut(..end).unwrap_or_default();
        let Some(start) = line.windows(self.wanted.len()).position(|window| window == self.wanted) else { return };
        if let Some(version) = line.get_mut(start..start + self.spoken.len()) {
            version.copy_from_slice(&self.spoken);
        }
    }
}
