//! Faults of the network, on an echo server and on a real one.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use millstream_testkit::{FaultProxy, Flavor, may_run, shared};
use mysql_async::prelude::Queryable;
use mysql_async::{Conn, OptsBuilder};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

const SILENCE: Duration = Duration::from_millis(200);

async fn echo_server() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            tokio::spawn(async move {
                let (mut from, mut to) = stream.split();
                let _ended = tokio::io::copy(&mut from, &mut to).await;
            });
        }
    });
    address
}

async fn proxied() -> (FaultProxy, TcpStream) {
    let proxy = FaultProxy::start(echo_server().await).await.unwrap();
    let stream = TcpStream::connect(proxy.address()).await.unwrap();
    (proxy, stream)
}

async fn echoes(stream: &mut TcpStream, text: &[u8]) {
    stream.write_all(text).await.unwrap();
    let mut back = vec![0; text.len()];
    stream.read_exact(&mut back).await.unwrap();
    assert_eq!(back, text);
}

/// Whether the other side has closed, with an end of file or a reset.
async fn closed(stream: &mut TcpStream) -> bool {
    let mut byte = [0];
    matches!(stream.read(&mut byte).await, Ok(0) | Err(_))
}

#[tokio::test]
async fn passes_bytes_and_counts_connections() {
    let (proxy, mut first) = proxied().await;
    let mut second = TcpStream::connect(proxy.address()).await.unwrap();
    echoes(&mut first, b"one").await;
    echoes(&mut second, &vec![7; 100_000]).await;
    assert_eq!((proxy.connections(), proxy.accepted(), proxy.bytes_from_server()), (2, 2, 100_003));
    drop(first);
    while proxy.connections() > 1 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn cuts_every_connection_and_accepts_new_ones() {
    let (proxy, mut stream) = proxied().await;
    echoes(&mut stream, b"before").await;
    proxy.cut_all();
    assert!(closed(&mut stream).await);
    let mut next = TcpStream::connect(proxy.address()).await.unwrap();
    echoes(&mut next, b"after").await;
}

#[tokio::test]
async fn cuts_after_exactly_so_many_bytes() {
    let (proxy, mut stream) = proxied().await;
    echoes(&mut stream, b"12345").await;
    proxy.cut_after(7);
    stream.write_all(b"abcdefghij").await.unwrap();
    let mut received = Vec::new();
    let _reset = stream.read_to_end(&mut received).await;
    assert_eq!(received, b"abcdefg");
    let mut next = TcpStream::connect(proxy.address()).await.unwrap();
    echoes(&mut next, b"the cut happens once").await;
}

#[tokio::test]
async fn stalls_without_losing_bytes() {
    let (proxy, mut stream) = proxied().await;
    proxy.stall();
    stream.write_all(b"held").await.unwrap();
    let mut back = [0; 4];
    assert!(timeout(SILENCE, stream.read_exact(&mut back)).await.is_err());
    proxy.resume();
    stream.read_exact(&mut back).await.unwrap();
    assert_eq!(&back, b"held");
}

#[tokio::test]
async fn throttles() {
    let (proxy, mut stream) = proxied().await;
    proxy.throttle(Some(20_000));
    let start = Instant::now();
    echoes(&mut stream, &[1; 10_000]).await;
    let slow = start.elapsed();
    assert!(slow > Duration::from_millis(300), "{slow:?}");
    proxy.throttle(None);
    echoes(&mut stream, &[1; 10_000]).await;
}

#[tokio::test]
async fn refuses_new_connections_only() {
    let (proxy, mut old) = proxied().await;
    echoes(&mut old, b"before").await;
    proxy.refuse(true);
    let mut refused = TcpStream::connect(proxy.address()).await.unwrap();
    assert!(closed(&mut refused).await);
    echoes(&mut old, b"still here").await;
    proxy.refuse(false);
    let mut accepted = TcpStream::connect(proxy.address()).await.unwrap();
    echoes(&mut accepted, b"again").await;
}

#[tokio::test]
async fn moves_to_another_target() {
    let (proxy, mut stream) = proxied().await;
    echoes(&mut stream, b"first").await;
    let gone = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    proxy.set_target(gone);
    let mut next = TcpStream::connect(proxy.address()).await.unwrap();
    assert!(closed(&mut next).await, "the target is away");
}

#[tokio::test]
async fn a_query_through_a_cut_fails_and_a_new_connection_works() {
    for flavor in Flavor::ALL {
        if !may_run(flavor) {
            continue;
        }
        let server = shared(flavor).await.unwrap();
        let proxy = FaultProxy::start(server.address()).await.unwrap();
        // Without this the driver asks the server for its socket and leaves the proxy aside.
        let opts = || OptsBuilder::default().tcp_port(proxy.port()).user(Some("root")).prefer_socket(false);
        let mut connection = Conn::new(opts().ip_or_hostname("127.0.0.1")).await.unwrap();
        proxy.cut_after(1_000);
        let cut = connection.query_drop("SELECT REPEAT('x', 100000)").await;
        assert!(cut.is_err());
        let mut next = Conn::new(opts().ip_or_hostname("127.0.0.1")).await.unwrap();
        next.query_drop("SELECT REPEAT('x', 100000)").await.unwrap();
    }
}
