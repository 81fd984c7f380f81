//! Both sides of the socket.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::*;

/// Answers `Rows` with as many rows as the bucket's name says, and fails for anything else.
struct Rows;

impl Service for Rows {
    async fn answer(&self, request: Request, replies: Replies) -> Result<(), Failure> {
        let Request::Rows { bucket: Some(number) } = request else {
            return Err(Failure::new("only rows are to be had here", "ask for rows"));
        };
        for number in 0..number.parse::<u64>().unwrap() {
            let row = RowReport {
                bucket: "b[]".into(),
                kind: "t".into(),
                id: number.to_string(),
                data: format!("{{\"text\":\"line\\nbreak {number}\"}}"),
            };
            replies.send(Reply::Row(row)).await?;
        }
        Ok(())
    }
}

fn rows(number: &str) -> Request {
    Request::Rows { bucket: Some(number.into()) }
}

/// Serves a folder until the token's guard is dropped.
fn serve(folder: &Path) -> tokio_util::sync::DropGuard {
    let stop = CancellationToken::new();
    let socket = ControlSocket::bind(folder).unwrap();
    tokio::spawn(socket.serve(Arc::new(Rows), stop.clone()));
    stop.drop_guard()
}

async fn count(mut answers: Answers) -> Result<u64, Failure> {
    let mut count = 0;
    while let Some(reply) = answers.next().await? {
        let Reply::Row(row) = reply else { panic!("{reply:?}") };
        assert_eq!(row.id, count.to_string());
        count += 1;
    }
    Ok(count)
}

#[tokio::test]
async fn a_request_is_answered_the_same_through_the_socket_and_without_it() {
    let folder = tempfile::tempdir().unwrap();
    let _stop = serve(folder.path());
    let remote = connect(folder.path(), &rows("1000")).await.unwrap().unwrap();
    assert_eq!(count(remote).await.unwrap(), 1000);
    assert_eq!(count(Answers::local(Arc::new(Rows), rows("1000"))).await.unwrap(), 1000);
    for answers in [
        connect(folder.path(), &Request::Status).await.unwrap().unwrap(),
        Answers::local(Arc::new(Rows), Request::Status),
    ] {
        let failure = count(answers).await.unwrap_err();
        assert_eq!(failure.to_string(), "only rows are to be had here\n  fix: ask for rows");
    }
}

#[tokio::test]
async fn nobody_listening_is_no_error_and_a_left_over_socket_no_obstacle() {
    let folder = tempfile::tempdir().unwrap();
    assert!(connect(&folder.path().join("missing"), &Request::Status).await.unwrap().is_none());
    assert!(connect(folder.path(), &Request::Status).await.unwrap().is_none());
    // What a killed process leaves: a socket file without a listener.
    drop(std::os::unix::net::UnixListener::bind(folder.path().join("control.sock")).unwrap());
    assert!(connect(folder.path(), &Request::Status).await.unwrap().is_none());
    let _stop = serve(folder.path());
    assert_eq!(count(connect(folder.path(), &rows("1")).await.unwrap().unwrap()).await.unwrap(), 1);
}

#[tokio::test]
async fn the_socket_is_its_users_own_and_goes_with_its_process() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("control.sock");
    let socket = ControlSocket::bind(folder.path()).unwrap();
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    drop(socket);
    assert!(!file.exists());
}

#[tokio::test]
async fn a_folder_with_a_long_path_works() {
    let folder = tempfile::tempdir().unwrap();
    let long = folder.path().join("a".repeat(90)).join("b".repeat(90));
    fs::create_dir_all(&long).unwrap();
    let _stop = serve(&long);
    assert_eq!(count(connect(&long, &rows("3")).await.unwrap().unwrap()).await.unwrap(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn nonsense_gets_an_answer_and_too_much_of_it_none() {
    let folder = tempfile::tempdir().unwrap();
    let _stop = serve(folder.path());
    let say = |text: Vec<u8>| {
        let mut stream = UnixStream::connect(folder.path().join("control.sock")).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        // The other side may hang up before it has read all.
        let _written = stream.write_all(&text);
        let mut line = String::new();
        let _read = BufReader::new(stream).read_line(&mut line);
        line
    };
    assert!(say(b"{\"fly\":{}}\n".to_vec()).contains("doesn't understand"));
    assert!(say(b"\xff\xfe\n".to_vec()).contains("doesn't understand"));
    let endless = say(vec![b'x'; 10_000_000]);
    assert!(!endless.contains("row"), "{endless}");
    assert_eq!(count(connect(folder.path(), &rows("1")).await.unwrap().unwrap()).await.unwrap(), 1);
}

#[tokio::test]
async fn an_asker_who_leaves_early_disturbs_nobody() {
    let folder = tempfile::tempdir().unwrap();
    let _stop = serve(folder.path());
    for _ in 0..20 {
        let mut answers = connect(folder.path(), &rows("1000000")).await.unwrap().unwrap();
        assert!(answers.next().await.unwrap().is_some());
    }
    assert_eq!(count(connect(folder.path(), &rows("5")).await.unwrap().unwrap()).await.unwrap(), 5);
}
