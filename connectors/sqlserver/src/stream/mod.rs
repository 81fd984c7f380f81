//! The changes of a database as a stream of deliveries.
//!
//! A reading covers the commits above one place and up to another. The order of its questions is what makes it exact:
//!
//! 1. how far the log has been scanned ([`fence`](crate::fence)): the upper place; if it is no higher than before, that is
//!    mostly all ([`lookout`]);
//! 2. the capture instances and the statements in the history: all up to the upper place are there by now;
//! 3. from these, for each table, which instance is read over which stretch, by which shape ([`agenda`]);
//! 4. which stretches have rows at all ([`idle`]), and their rows in batches ([`cursor`]), merged across tables in the
//!    order of the log, with changes to tables at their places ([`follower`]).
//!
//! Behind each batch it is asked whether what was planned by still holds; if not, what is whole is handed over and the
//! rest is planned anew. Memory is bounded: the batches of all tables together, one batch of rows per table at least,
//! and three deliveries.

mod agenda;
mod cursor;
mod follower;
mod idle;
mod lookout;
mod rows;
mod start;
mod tables;
mod values;

use std::sync::Arc;

use futures::{StreamExt, stream};
use millstream_core::error::SourceError;
use millstream_core::outbox::{DELIVERIES_MAX, Outbox};
use millstream_core::source::{Catalog, DeliveryStream};
use tokio::sync::mpsc;

use crate::connect::Connector;
use crate::noticed::Noticed;
use crate::position::SqlServerPosition;
use crate::progress::Progress;
use follower::{End, Follower};

/// Begins to follow the log from a position on.
pub(crate) async fn open(
    connector: Arc<Connector>,
    progress: Arc<Progress>,
    noticed: Arc<Noticed>,
    from: SqlServerPosition,
    catalog: Catalog,
) -> Result<DeliveryStream, SourceError> {
    let mut connection = connector.open_for_rows().await?;
    if let Err(error) = start::verify(&mut connection, &from).await {
        // Whatever is followed next isn't the log that this position lies in.
        if matches!(error, SourceError::PositionLost { .. }) {
            progress.lose(from.epoch);
        }
        return Err(error);
    }
    progress.follow(from.epoch, from.lsn);
    let (sender, receiver) = mpsc::channel(DELIVERIES_MAX);
    let outbox = Outbox::new(sender.clone());
    let follower = Follower::new(connector, progress, noticed, connection, outbox, &from, &catalog);
    tokio::spawn(async move {
        match follower.run().await {
            End::Abandoned => {}
            // The consumer may be gone as well, and then nobody needs to know.
            End::Failed(error) => drop(sender.send(Err(error)).await),
        }
    });
    Ok(stream::unfold(receiver, |mut receiver| async { receiver.recv().await.map(|item| (item, receiver)) }).boxed())
}
