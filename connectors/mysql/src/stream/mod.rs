//! The binlog as a stream of deliveries.
//!
//! Three tasks hand on to each other over bounded channels: the network's ([`dump`]: packets to events), the
//! follower's ([`follower`]: events to deliveries) and the consumer's. What they may hold together is bounded: eight
//! batches of 256 KiB, three deliveries of 4 MiB, what is looked at ahead, and one event, which the server's
//! `max_allowed_packet` bounds.

mod cascades;
mod census;
mod dump;
mod event;
mod follower;
mod input;
mod maps;
#[cfg(test)]
mod old_logs;
mod payload;
mod replaced;
#[cfg(test)]
mod script;
mod settle;
mod start;
mod statement_format;
mod statements;
mod tables;
mod xa;

use std::sync::Arc;

use futures::{StreamExt, stream};
use millstream_core::error::SourceError;
use millstream_core::outbox::{DELIVERIES_MAX, Outbox};
use millstream_core::source::{Catalog, DeliveryStream};
use tokio::sync::mpsc;

use crate::connect::Connector;
use crate::log;
use crate::position::MySqlPosition;
use crate::progress::Progress;
pub(crate) use census::marks_of;
use follower::Follower;
use input::Input;

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
    let server = Arc::clone(&connection.server);
    let resets = log::resets(&mut connection, limit).await?;
    let begun = match start::find(&mut connection, limit, &from).await {
        Ok(beginning) => match dump::open(&connector, &server, replica_id, &beginning.start).await {
            Ok(batches) => Ok((beginning, batches)),
            Err(SourceError::PositionLost { reason, .. }) => Err(start::confirm(&connector, &from, reason).await),
            Err(error) => Err(error),
        },
        Err(error) => Err(error),
    };
    drop(connection);
    let (beginning, batches) = match begun {
        Ok(begun) => begun,
        Err(error) => {
            if let SourceError::PositionLost { reason, .. } = &error {
                progress.lose(&from, reason);
            }
            return Err(error);
        }
    };
    progress.follow(&beginning.position(server.identity), resets);
    let (sender, receiver) = mpsc::channel(DELIVERIES_MAX);
    let outbox = Outbox::new(sender.clone());
    let follower = Follower::new(connector, progress, server, Input::new(batches), outbox, beginning, &catalog);
    tokio::spawn(async move {
        // The consumer may be gone as well, and then nobody needs to know.
        if let Some(error) = follower.run(catalog).await {
            drop(sender.send(Err(error)).await);
        }
    });
    Ok(stream::unfold(receiver, |mut receiver| async { receiver.recv().await.map(|item| (item, receiver)) }).boxed())
}
