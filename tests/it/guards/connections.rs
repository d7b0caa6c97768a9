//! Connections, in all and by address.

use std::net::{Ipv4Addr, SocketAddr};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};

use super::{UPDATE, path};
use crate::harness::keep_alive::Connection;
use crate::harness::{Answer, PUBLIC, Request, Server, Setup, eventually};

/// A connection over which the service has answered: it is open, and has its place.
async fn served(server: &Server) -> Option<Connection> {
    let mut connection = Connection::open(server.address).await.unwrap();
    let answer = connection.post(&path(), PUBLIC, UPDATE).await.ok()?;
    assert_eq!(answer.status, 200);
    Some(connection)
}

/// A connection from another address of this machine.
async fn from(address: Ipv4Addr, server: &Server) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(SocketAddr::from((address, 0))).unwrap();
    socket.connect(server.address).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_has_so_many_connections_and_others_have_theirs() {
    let settings =
        "[server]\nconnections_per_address_max = 2\n[client_address]\ntrusted_proxies = []";
    let server = Setup::default().with(settings).start().await;
    // The connections of the start are closed, but it may take the service a moment to see that.
    let mut open = Vec::new();
    for _ in 0..2 {
        open.push(eventually("there is a place", async || served(&server).await).await);
    }
    let before = server.rejected("connections_per_address_max").await;
    assert!(served(&server).await.is_none());
    server
        .rejects("connections_per_address_max", before + 1)
        .await;
    let other = from(Ipv4Addr::new(127, 0, 0, 2), &server).await;
    let request = Request::new(server.address, "POST", &path());
    let request = request.header("authorization", PUBLIC).body(UPDATE);
    assert_eq!(request.send_over(other).await.unwrap().status, 200);
    open.pop();
    eventually("the place is given back", async || served(&server).await).await;
    drop(open);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_that_is_believed_may_have_any_number_of_connections() {
    let settings = "[server]\nconnections_per_address_max = 1";
    let server = Setup::default().with(settings).start().await;
    let mut open = Vec::new();
    for _ in 0..5 {
        open.push(served(&server).await.unwrap());
    }
    assert_eq!(server.rejected("connections_per_address_max").await, 0);
    drop(open);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn beyond_the_most_connections_callers_wait_and_operators_do_not() {
    let settings = "[server]\nconnections_max = 2\nheader_timeout = \"1h\"";
    let server = Setup::default().with(settings).start().await;
    let (first, second) = (
        served(&server).await.unwrap(),
        served(&server).await.unwrap(),
    );
    let mut third = TcpStream::connect(server.address).await.unwrap();
    let request = format!(
        "POST {} HTTP/1.1\r\nhost: x\r\nconnection: close\r\nauthorization: {PUBLIC}\r\ncontent-length: {}\r\n\r\n{UPDATE}",
        path(),
        UPDATE.len()
    );
    third.write_all(request.as_bytes()).await.unwrap();
    assert!(server.rejected("connections_max").await >= 1);
    let nothing = third.try_read(&mut [0]).map_err(|error| error.kind());
    assert_eq!(nothing, Err(std::io::ErrorKind::WouldBlock));
    drop(first);
    let mut answer = Vec::new();
    third.read_to_end(&mut answer).await.unwrap();
    assert_eq!(Answer::parse(&answer).status, 200);
    drop(second);
    server.stop().await;
}
