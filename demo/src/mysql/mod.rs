//! A private MySQL with a sample shop: changes of rows and of schemas, one by one.

mod script;
mod shop;

use std::time::Instant;

use millstream_testkit::{Flavor, Server, ServerOptions};

use crate::Outcome;
use crate::command::Millstream;
use crate::stage::Stage;

pub(crate) async fn show() -> Outcome<()> {
    let started = Instant::now();
    let stage = Stage::new();
    stage.heading("A private MySQL with a sample shop");
    // Names of columns in the log spare re-reads; a server's default is to leave them out.
    let options = ServerOptions::new().set("binlog-row-metadata", "FULL");
    let server = stage.timed("starting the server", Server::start(Flavor::MySql, options)).await?;
    let rows = stage.timed("loading customers, products, orders and their items", shop::load(&server)).await?;
    stage.line(&format!("MySQL {} on port {}, {rows} rows", server.version(), server.port()));

    stage.heading("Setting up and filling the buckets");
    let folder = tempfile::Builder::new().prefix("millstream-demo-").tempdir()?;
    let mut millstream = Millstream::new(folder.path())?;
    let uri = server.uri(shop::USER, shop::PASSWORD, shop::DATABASE);
    stage.command(&format!("millstream init {}", server.uri(shop::USER, "********", shop::DATABASE)));
    millstream.show(&["init", &uri])?;
    shop::expect_reviews(folder.path())?;
    stage.line(
        "The sync config is given one more table, `reviews`, which is created further down. Until then check, and run, say so:",
    );
    stage.command("millstream check");
    millstream.show(&["check"])?;
    stage.command("millstream run --until-current");
    millstream.show(&["run", "--until-current"])?;
    stage.command("millstream buckets");
    millstream.show(&["buckets"])?;

    stage.heading("Changing rows and schemas, one statement after the other");
    stage.command("millstream run &");
    millstream.start()?;
    millstream.wait_until_live(&server).await?;
    script::play(&stage, &server, &mut millstream).await?;

    stage.heading("Reading everything again to compare");
    stage.command("millstream verify");
    millstream.show(&["verify"])?;
    millstream.stop()?;
    drop(server);
    stage.line("");
    stage.line(&format!("Everything is stopped and removed again. It took {:.1} s.", started.elapsed().as_secs_f64()));
    Ok(())
}
