//! Users and their privileges.

use millstream_core::source::Problem;
use millstream_testkit::{Endpoint, Flavor, Server, ServerOptions, require_server, shared};

use super::{check_uri, find, subjects};

/// Only those about privileges and tables: the shared server's settings are others' business.
fn about_privileges(problems: Vec<Problem>) -> Vec<Problem> {
    let settings = ["binlog_row_metadata", "gtid_mode"];
    problems.into_iter().filter(|problem| !settings.contains(&problem.subject.as_str())).collect()
}

/// Runs the grants that the problems' remedies begin with.
async fn mend(server: &Endpoint, problems: &[Problem]) {
    for problem in problems {
        let (grant, _) = problem.remedy.split_once(';').unwrap();
        assert!(grant.starts_with("GRANT "), "{problem:?}");
        server.sql(grant).await.unwrap();
    }
}

#[tokio::test]
async fn a_mysql_user_without_privileges_is_told_each_and_their_grants_suffice() {
    require_server!(Flavor::MySql);
    no_privileges(Flavor::MySql, "REPLICATION CLIENT").await;
}

#[tokio::test]
async fn a_mariadb_user_without_privileges_is_told_each_and_their_grants_suffice() {
    require_server!(Flavor::MariaDb);
    no_privileges(Flavor::MariaDb, "BINLOG MONITOR").await;
}

async fn no_privileges(flavor: Flavor, monitor: &str) {
    let server = shared(flavor).await.unwrap();
    let database = server.create_database("users").await.unwrap();
    server.sql_in(&database, "CREATE TABLE item (id INT PRIMARY KEY, c INT)").await.unwrap();
    let user = format!("u_{database}");
    server.create_user(&user, "pw", "").await.unwrap();
    let (uri, pattern) = (server.uri(&user, "pw", ""), format!("{database}.item"));
    let problems = about_privileges(check_uri(&uri, &[&pattern]).await);
    assert_eq!(
        subjects(&problems),
        [
            "E privilege REPLICATION SLAVE".to_owned(),
            format!("E privilege {monitor}"),
            format!("E table pattern {pattern}"),
        ],
        "{problems:#?}"
    );
    // With the database in the URI, as in a configuration, it is the same: nothing stops at the first.
    let with_database = about_privileges(check_uri(&server.uri(&user, "pw", &database), &[&pattern]).await);
    assert_eq!(subjects(&with_database), subjects(&problems));
    let alone = about_privileges(check_uri(&server.uri(&user, "pw", &database), &[]).await);
    let problem = find(&alone, &format!("database {database}"));
    assert!(problem.remedy.starts_with(&format!("GRANT SELECT ON `{database}`.* TO '{user}'@'%';")), "{problem:?}");
    mend(&server, &problems).await;
    let problems = about_privileges(check_uri(&uri, &[&pattern]).await);
    assert_eq!(subjects(&problems), [""; 0], "{problems:#?}");
}

#[tokio::test]
async fn privileges_by_a_mysql_role_count() {
    require_server!(Flavor::MySql);
    roles(Flavor::MySql).await;
}

#[tokio::test]
async fn privileges_by_a_mariadb_role_count() {
    require_server!(Flavor::MariaDb);
    roles(Flavor::MariaDb).await;
}

/// Grants are read as the server writes them to our sessions, whatever it writes to others.
#[tokio::test(flavor = "multi_thread")]
async fn privileges_count_where_the_server_writes_names_without_quotes() {
    require_server!(Flavor::MySql);
    require_server!(Flavor::MariaDb);
    for flavor in [Flavor::MySql, Flavor::MariaDb] {
        let server = Server::start(flavor, ServerOptions::new()).await.unwrap();
        server.sql("SET GLOBAL sql_quote_show_create = OFF").await.unwrap();
        server.sql("CREATE DATABASE d; CREATE TABLE d.item (id INT PRIMARY KEY)").await.unwrap();
        let grants = "GRANT SELECT ON d.* TO u; GRANT REPLICATION SLAVE, REPLICATION CLIENT ON *.* TO u";
        server.sql(&format!("CREATE USER u IDENTIFIED BY 'pw'; {grants}")).await.unwrap();
        let problems = about_privileges(check_uri(&server.uri("u", "pw", ""), &["d.item"]).await);
        assert_eq!(subjects(&problems), [""; 0], "{flavor}: {problems:#?}");
    }
}

async fn roles(flavor: Flavor) {
    let server = shared(flavor).await.unwrap();
    let database = server.create_database("roles").await.unwrap();
    server.sql_in(&database, "CREATE TABLE item (id INT PRIMARY KEY)").await.unwrap();
    let (user, role) = (format!("u_{database}"), format!("r_{database}"));
    server.create_user(&user, "pw", "").await.unwrap();
    let default = match flavor {
        Flavor::MySql => format!("SET DEFAULT ROLE ALL TO {user}"),
        Flavor::MariaDb => format!("SET DEFAULT ROLE {role} FOR {user}"),
    };
    let statements = format!(
        "CREATE ROLE {role}; GRANT REPLICATION SLAVE, REPLICATION CLIENT ON *.* TO {role}; \
         GRANT SELECT ON {database}.* TO {role}; GRANT {role} TO {user}; {default}"
    );
    server.sql(&statements).await.unwrap();
    let problems = about_privileges(check_uri(&server.uri(&user, "pw", ""), &[&format!("{database}.%")]).await);
    assert_eq!(subjects(&problems), [""; 0], "{problems:#?}");
}

#[tokio::test]
async fn a_column_or_a_table_that_may_not_be_read_is_found() {
    require_server!(Flavor::MySql);
    let server = shared(Flavor::MySql).await.unwrap();
    let database = server.create_database("columns").await.unwrap();
    server.sql_in(&database, "CREATE TABLE item (id INT PRIMARY KEY, c INT)").await.unwrap();
    let user = format!("u_{database}");
    server.create_user(&user, "pw", "REPLICATION SLAVE, REPLICATION CLIENT").await.unwrap();
    server.sql(&format!("GRANT SELECT (id) ON {database}.item TO {user}")).await.unwrap();
    let (uri, pattern) = (server.uri(&user, "pw", ""), format!("{database}.%"));
    let problems = about_privileges(check_uri(&uri, &[&pattern]).await);
    let wide = find(&problems, &format!("table pattern {pattern}"));
    assert!(wide.found.contains("SELECT isn't granted on the whole database"), "{wide:?}");
    // The catalog hides the other column from such a user.
    let exact = format!("{database}.item");
    let problems = about_privileges(check_uri(&uri, &[&exact]).await);
    assert_eq!(subjects(&problems), [format!("E table {exact}")], "{problems:#?}");
    mend(&server, &problems).await;
    assert_eq!(subjects(&about_privileges(check_uri(&uri, &[&exact]).await)), [""; 0]);
}

#[tokio::test]
async fn where_the_log_holds_statements_the_user_should_see_what_they_set_off() {
    const SUBJECT: &str = "privileges on views, triggers and functions";
    for flavor in [Flavor::MySql, Flavor::MariaDb] {
        require_server!(flavor);
        let server = Server::start(flavor, ServerOptions::new().set("binlog_format", "STATEMENT")).await.unwrap();
        server.sql("CREATE DATABASE shop; CREATE TABLE shop.item (id INT PRIMARY KEY)").await.unwrap();
        server.create_replication_user("u", "pw").await.unwrap();
        let uri = server.uri("u", "pw", "");
        let problems = check_uri(&uri, &["shop.item"]).await;
        let remedy = &find(&problems, SUBJECT).remedy;
        let (grants, _) = remedy.rsplit_once(';').unwrap();
        server.sql(grants).await.unwrap();
        let problems = check_uri(&uri, &["shop.item"]).await;
        assert!(find(&problems, "binlog_format").found.starts_with("STATEMENT"), "{problems:#?}");
        assert!(problems.iter().all(|problem| problem.subject != SUBJECT), "{problems:#?}");
        // In row format it doesn't matter what the user sees.
        server.create_replication_user("v", "pw").await.unwrap();
        server.sql("SET GLOBAL binlog_format = ROW").await.unwrap();
        let problems = check_uri(&server.uri("v", "pw", ""), &["shop.item"]).await;
        assert!(problems.iter().all(|problem| problem.subject != SUBJECT), "{problems:#?}");
    }
}
