//! The binlog as a stream of deliveries.
//!
//! Three tasks hand on to each other over bounded channels: the network's ([`dump`]: packets to events), the
//! follower's ([`follower`]: events to deliveries) and the consumer's. What they may hold together is bounded: eight
//! batches of 256 KiB, three deliveries of 4 MiB, what is looked at ahead, and one event, which the server's
//! `max_allowed_packet` bounds.

mod cascades;
mod dump;
mod event;
mod follower;
mod input;
mod maps;
mod outbox;
mod payload;
mod settle;
mod start;
mod statements;
mod tables;
mod xa;

use std::sync::Arc;

use futures::{StreamExt, stream};
use millstream_core::error::SourceError;
use millstream_core::source::{Catalog, DeliveryStream};
use tokio::sync::mpsc;

use crate::connect::Connector;
use crate::position::MySqlPosition;
use crate::progress::Progress;
use follower::{End, Follower};
use input::Input;
use outbox::{DELIVERIES_MAX, Outbox};

/// Begins to follow the log from a position on.
pub(crate) async fn open(
    connector: Arc<Connector>,
    progress: Arc<Progress>,
    replica_id: u32,
    from: MySqlPosition,
    catalog: Catalog,
) -> Result<DeliveryStream, SourceError> {
    let mut connection = connector.open().await?;
    let limit = connector.query_timeout();
    let beginning = match start::find(&mut connection, limit, &from).await {
        Ok(beginning) => beginning,
        Err(error) => {
            // Whatever is followed next isn't the log that this position lies in.
            if matches!(error, SourceError::PositionLost { .. }) {
                progress.follow(connection.server.identity, from.epoch.saturating_add(1));
            }
            return Err(error);
        }
    };
    let server = Arc::clone(&connection.server);
    progress.follow(server.identity, beginning.epoch);
    progress.reach(&from);
    drop(connection);
    let batches = dump::open(&connector, &server, replica_id, &beginning.start).await?;
    let (sender, receiver) = mpsc::channel(DELIVERIES_MAX);
    let outbox = Outbox::new(sender.clone());
    let follower = Follower::new(connector, progress, server, Input::new(batches), outbox, beginning, &catalog);
    tokio::spawn(async move {
        match follower.run(catalog).await {
            End::Abandoned => {}
            // The consumer may be gone as well, and then nobody needs to know.
            End::Failed(error) => drop(sender.send(Err(error)).await),
        }
    });
    Ok(stream::unfold(receiver, |mut receiver| async { receiver.recv().await.map(|item| (item, receiver)) }).boxed())
}
