//! The program `sqlserver-sim`: each of its options, what it says, and how it ends.

use std::io::{BufRead, BufReader, Read};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use tiberius::{AuthMethod, Config, EncryptionLevel};

use crate::client::{Tiberius, connect_with};

const PATIENCE: Duration = Duration::from_secs(60);

fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sqlserver-sim"));
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// A running program; ended when dropped.
struct Program {
    child: Child,
    address: SocketAddr,
    hint: String,
}

impl Program {
    fn start(arguments: &[&str]) -> Self {
        let mut child = command(arguments).spawn().unwrap();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        let (mut first, mut hint) = (String::new(), String::new());
        out.read_line(&mut first).unwrap();
        out.read_line(&mut hint).unwrap();
        let address = first.split_once("listens on ").and_then(|(_, rest)| rest.split(';').next()?.parse().ok());
        let Some(address) = address else {
            child.kill().unwrap();
            panic!("{first}{}", told(&mut child));
        };
        Self { child, address, hint }
    }

    fn config(&self, password: &str) -> Config {
        let mut config = Config::new();
        config.host(self.address.ip().to_string());
        config.port(self.address.port());
        config.authentication(AuthMethod::sql_server("sa", password));
        config.trust_cert();
        config
    }

    async fn connect(&self) -> Tiberius {
        connect_with(self.config("Simulated-1433")).await.unwrap()
    }

    /// Sends a signal, and waits for the end.
    fn end_by(&mut self, signal: &str) -> ExitStatus {
        let sent = Command::new("kill").args([signal, &self.child.id().to_string()]).status().unwrap();
        assert!(sent.success());
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(Instant::now() < deadline, "it doesn't end by {signal}");
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn told(child: &mut Child) -> String {
    let mut errors = String::new();
    child.stderr.take().unwrap().read_to_string(&mut errors).unwrap();
    errors
}

/// Runs a program that ends by itself: its status, and what it says on both streams.
fn ended(arguments: &[&str]) -> (Option<i32>, String) {
    let output = command(arguments).output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8(said).unwrap())
}

async fn value(client: &mut Tiberius, sql: &str) -> String {
    let row = client.simple_query(sql).await.unwrap().into_row().await.unwrap().unwrap();
    row.get::<&str, _>(0).unwrap().to_owned()
}

#[test]
fn help_tells_every_option_with_an_example() {
    let (status, help) = ended(&["--help"]);
    assert_eq!(status, Some(0));
    let options = [
        "--port",
        "--listen",
        "--password",
        "--server-name",
        "--encryption",
        "--capture-interval",
        "--edition",
        "--authority",
        "--script",
        "--log",
    ];
    for word in options.into_iter().chain(["Examples:", "developer", "express", "azure", "managed", "[default: 1433]"])
    {
        assert!(help.contains(word), "{word}: {help}");
    }
    let (status, version) = ended(&["--version"]);
    assert_eq!((status, version.trim()), (Some(0), concat!("sqlserver-sim ", env!("CARGO_PKG_VERSION"))));
}

#[tokio::test]
async fn it_says_how_to_connect_and_ends_at_once_by_ctrl_c_and_by_a_signal_to_terminate() {
    for signal in ["-INT", "-TERM"] {
        let mut program = Program::start(&["--port", "0"]);
        let port = program.address.port();
        assert_eq!(program.hint, format!("Try it: tsql -H 127.0.0.1 -p {port} -U sa -P Simulated-1433\n"));
        let mut client = program.connect().await;
        assert_eq!(value(&mut client, "SELECT DB_NAME()").await, "master");
        // A request that would take an hour is no reason to stay.
        let waits = client.simple_query("WAITFOR DELAY '01:00:00'");
        assert!(tokio::time::timeout(Duration::from_millis(200), waits).await.is_err());
        let begun = Instant::now();
        assert_eq!(program.end_by(signal).code(), Some(0), "{signal}");
        assert!(begun.elapsed() < Duration::from_secs(20), "{signal}: {:?}", begun.elapsed());
        assert_eq!(told(&mut program.child), "", "{signal}");
        assert!(TcpStream::connect(("127.0.0.1", port)).is_err());
    }
}

#[test]
fn a_port_in_use_is_told_with_the_way_out() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let (status, said) = ended(&["--port", &port.to_string()]);
    assert_eq!(status, Some(1));
    assert!(said.contains(&format!("can't listen on 127.0.0.1:{port}")), "{said}");
    assert!(said.contains("--port"), "{said}");
}

#[test]
fn bad_values_are_told_by_their_option() {
    for (option, value, expected) in [
        ("--port", "70000", "0..=65535"),
        ("--listen", "nowhere", "--listen"),
        ("--capture-interval", "-1", "from 0 on"),
        ("--capture-interval", "NaN", "from 0 on"),
        ("--capture-interval", "soon", "such as 0.5"),
        ("--edition", "datacenter", "developer, express, azure, managed"),
        ("--encryption", "perhaps", "off, optional, required"),
        ("--password", "", "--password"),
        ("--server-name", "", "--server-name"),
        ("--log", "loud", "--log"),
        ("--unknown", "1", "--unknown"),
    ] {
        let (status, said) = ended(&[option, value]);
        assert_eq!(status, Some(2), "{option} {value}: {said}");
        assert!(said.contains(expected) && said.contains(option), "{option} {value}: {said}");
    }
}

#[test]
fn files_that_cannot_be_read_run_or_written_are_told() {
    let folder = tempfile::tempdir().unwrap();
    let missing = folder.path().join("missing").join("file");
    let missing = missing.to_str().unwrap();
    let (status, said) = ended(&["--port", "0", "--script", missing]);
    assert!(status == Some(1) && said.contains(missing), "{said}");
    let (status, said) = ended(&["--port", "0", "--authority", missing]);
    assert!(status == Some(1) && said.contains(missing), "{said}");

    let script = folder.path().join("broken.sql");
    std::fs::write(&script, "CREATE DATABASE a;\nGO\nUSE a;\nSELECT * FROM nowhere;\n").unwrap();
    let (status, said) = ended(&["--port", "0", "--script", script.to_str().unwrap()]);
    assert_eq!(status, Some(1));
    assert!(said.contains("broken.sql") && said.contains("line 4: error 208"), "{said}");
}

#[tokio::test]
async fn scripts_run_in_turn_and_changes_are_captured_at_the_interval() {
    let folder = tempfile::tempdir().unwrap();
    let (first, second) = (folder.path().join("first.sql"), folder.path().join("second.sql"));
    std::fs::write(
        &first,
        "CREATE DATABASE shop;\nGO\nUSE shop;\nEXEC sys.sp_cdc_enable_db;\n\
         CREATE TABLE dbo.orders (id int PRIMARY KEY, total decimal(10,2));\n",
    )
    .unwrap();
    std::fs::write(
        &second,
        "USE shop;\nEXEC sys.sp_cdc_enable_table @source_schema = 'dbo', @source_name = 'orders', @role_name = NULL;\n\
         go\nINSERT INTO dbo.orders VALUES (1, 12.5);\n",
    )
    .unwrap();
    let (first, second) = (first.to_str().unwrap(), second.to_str().unwrap());
    let program = Program::start(&["--port", "0", "--script", first, "--script", second, "--capture-interval", "0.05"]);
    let mut client = program.connect().await;
    let deadline = Instant::now() + PATIENCE;
    while value(&mut client, "SELECT CAST(COUNT(*) AS varchar(9)) FROM shop.cdc.dbo_orders_CT").await != "1" {
        assert!(Instant::now() < deadline, "nothing is captured");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn editions_call_themselves_what_they_are() {
    for (edition, number) in [("developer", "3"), ("express", "4"), ("azure", "5"), ("managed", "8")] {
        let program = Program::start(&["--port", "0", "--edition", edition]);
        let mut client = program.connect().await;
        let sql = "SELECT CAST(SERVERPROPERTY('EngineEdition') AS varchar(9))";
        assert_eq!(value(&mut client, sql).await, number, "{edition}");
    }
    let program = Program::start(&["--port", "0", "--edition", "express"]);
    let mut client = program.connect().await;
    let refused = client.execute("CREATE DATABASE d; EXEC d.sys.sp_cdc_enable_db", &[]).await.unwrap_err();
    assert_eq!(refused.code(), Some(22_988));
}

#[tokio::test]
async fn name_password_and_address_are_those_that_were_given() {
    let program = Program::start(&[
        "--port",
        "0",
        "--listen",
        "127.0.0.2",
        "--server-name",
        "NORTH",
        "--password",
        "Chosen, with spaces",
    ]);
    assert_eq!(program.address.ip().to_string(), "127.0.0.2");
    let port = program.address.port();
    assert_eq!(program.hint, format!("Try it: tsql -H 127.0.0.2 -p {port} -U sa -P <the password>\n"));
    let refused = connect_with(program.config("Simulated-1433")).await.unwrap_err();
    assert_eq!(refused.code(), Some(18_456));
    let mut client = connect_with(program.config("Chosen, with spaces")).await.unwrap();
    assert_eq!(value(&mut client, "SELECT @@SERVERNAME").await, "NORTH");
}

#[tokio::test]
async fn encryption_is_refused_or_insisted_on() {
    for (policy, level, welcome) in [
        ("off", EncryptionLevel::Required, false),
        ("off", EncryptionLevel::NotSupported, true),
        ("optional", EncryptionLevel::Required, true),
        ("optional", EncryptionLevel::NotSupported, true),
        ("required", EncryptionLevel::Required, true),
        ("required", EncryptionLevel::NotSupported, false),
    ] {
        let program = Program::start(&["--port", "0", "--encryption", policy]);
        let mut config = program.config("Simulated-1433");
        config.encryption(level);
        let outcome = tokio::time::timeout(PATIENCE, connect_with(config)).await.unwrap();
        assert_eq!(outcome.is_ok(), welcome, "{policy} and {level:?}");
    }
}

#[tokio::test]
async fn its_certificate_can_be_checked_with_the_authority_that_it_writes() {
    let folder = tempfile::tempdir().unwrap();
    let authority = folder.path().join("authority.pem");
    let program = Program::start(&["--port", "0", "--authority", authority.to_str().unwrap()]);
    let mut config = Config::new();
    config.host("127.0.0.1");
    config.port(program.address.port());
    config.authentication(AuthMethod::sql_server("sa", "Simulated-1433"));
    config.encryption(EncryptionLevel::Required);
    config.trust_cert_ca(authority.display());
    connect_with(config).await.unwrap();
}

#[test]
fn it_logs_what_it_is_asked_to() {
    let mut program = Program::start(&["--port", "0", "--log", "debug"]);
    // Not a client of SQL Server.
    let mut stream = TcpStream::connect(program.address).unwrap();
    std::io::Write::write_all(&mut stream, b"GET / HTTP/1.1\r\n\r\n").unwrap();
    // It ends the connection once it has noticed.
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut rest = Vec::new();
    // A reset is an end too.
    let _ = stream.read_to_end(&mut rest);
    assert_eq!(program.end_by("-INT").code(), Some(0));
    let errors = told(&mut program.child);
    assert!(errors.contains("a connection broke"), "{errors}");
}
