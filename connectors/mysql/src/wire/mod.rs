//! A connection of our own, for the two things that the driver can't do as they must be done here: taking in the log
//! piece by piece, so that an event of any size, and a compressed transaction of any size, passes through little
//! memory, and no error in one goes unnoticed; and taking in a table's rows straight from the bytes of the connection.
//! Everything else goes over the driver's connections.

mod login;
mod packets;
mod rows;
mod tls;

pub(crate) use login::login;
pub(crate) use packets::{Packets, server_error};
pub(crate) use rows::{BinaryRow, Field};
