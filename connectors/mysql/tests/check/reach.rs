//! Servers that can't be reached or logged in to.

use std::net::TcpListener;

use millstream_mysql::{MySqlConfig, TlsMode};
use millstream_testkit::{Flavor, Server, ServerOptions, require_server, shared};

use super::{check, check_uri, find, selection};

#[tokio::test]
async fn a_wrong_password_is_a_problem_on_mysql() {
    require_server!(Flavor::MySql);
    wrong_password(Flavor::MySql).await;
}

#[tokio::test]
async fn a_wrong_password_is_a_problem_on_mariadb() {
    require_server!(Flavor::MariaDb);
    wrong_password(Flavor::MariaDb).await;
}

async fn wrong_password(flavor: Flavor) {
    let server = shared(flavor).await.unwrap();
    server.create_replication_user("right", "secret").await.unwrap();
    let problems = check_uri(&server.uri("right", "mistaken", ""), &[]).await;
    let problem = find(&problems, &format!("connection to 127.0.0.1:{}", server.port()));
    assert!(problem.found.contains("1045") && problem.remedy.contains("password"), "{problem:?}");
    let shown = format!("{problem:?}");
    assert!(!shown.contains("secret") && !shown.contains("mistaken"), "{shown}");
}

#[tokio::test]
async fn an_unknown_database_in_the_uri_is_a_problem() {
    require_server!(Flavor::MySql);
    let server = shared(Flavor::MySql).await.unwrap();
    let database = server.create_database("reached").await.unwrap();
    let misspelt = database.replace("reached", "raeched");
    let problems = check_uri(&server.uri("root", "", &misspelt), &[&format!("{misspelt}.%")]).await;
    let problem = find(&problems, &format!("database {misspelt}"));
    assert!(problem.remedy.contains(&format!("in the source's uri: did you mean {database}?")), "{problem:?}");
    assert!(problems.iter().all(|problem| !problem.subject.starts_with("table pattern")), "{problems:#?}");
}

#[tokio::test]
async fn a_port_where_nothing_listens_is_a_problem() {
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let problems = check_uri(&format!("mysql://root@{free}/"), &[]).await;
    let problem = find(&problems, &format!("connection to {free}"));
    assert!(problem.remedy.contains("start the server"), "{problem:?}");
}

#[tokio::test]
async fn a_host_without_an_address_is_a_problem() {
    let problems = check_uri("mysql://root@no-such-host.invalid:3306/", &[]).await;
    let problem = find(&problems, "connection to no-such-host.invalid:3306");
    assert!(problem.remedy.contains("name resolves"), "{problem:?}");
}

#[tokio::test]
async fn a_server_that_never_answers_is_a_problem() {
    // It takes connections and says nothing.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = silent.local_addr().unwrap();
    let mut config = MySqlConfig::new(format!("mysql://root@{address}/"));
    config.connect_timeout_seconds = 1;
    let problems = check(config, &selection(&[])).await;
    let problem = find(&problems, &format!("connection to {address}"));
    assert!(problem.remedy.contains("Nothing answers"), "{problem:?}");
}

#[tokio::test]
async fn a_server_without_tls_is_a_problem_where_tls_is_required() {
    require_server!(Flavor::MariaDb);
    let server = shared(Flavor::MariaDb).await.unwrap();
    let mut config = MySqlConfig::new(server.uri("root", "", ""));
    config.tls.mode = TlsMode::Required;
    let problems = check(config, &selection(&[])).await;
    let problem = find(&problems, &format!("connection to 127.0.0.1:{}", server.port()));
    assert!(problem.remedy.contains("no TLS"), "{problem:?}");
}

#[tokio::test]
async fn a_certificate_of_an_unknown_authority_is_a_problem() {
    require_server!(Flavor::MySql);
    let server = shared(Flavor::MySql).await.unwrap();
    let mut config = MySqlConfig::new(server.uri("root", "", ""));
    config.tls.mode = TlsMode::VerifyIdentity;
    let problems = check(config, &selection(&[])).await;
    let problem = find(&problems, &format!("connection to 127.0.0.1:{}", server.port()));
    assert!(problem.remedy.contains("CA"), "{problem:?}");
}

#[tokio::test]
async fn a_server_that_wants_encryption_is_a_problem_without() {
    require_server!(Flavor::MySql);
    let options = ServerOptions::new().set("require_secure_transport", "ON");
    let server = Server::start(Flavor::MySql, options).await.unwrap();
    let mut config = MySqlConfig::new(server.uri("root", "", ""));
    config.tls.mode = TlsMode::Disabled;
    let problems = check(config, &selection(&[])).await;
    let problem = find(&problems, &format!("connection to 127.0.0.1:{}", server.port()));
    assert!(problem.found.contains("3159") && problem.remedy.contains("tls"), "{problem:?}");
}
