//! A connection of our own, for the one thing that the driver can't do as it must be done here: taking in the log
//! piece by piece, so that an event of any size, and a compressed transaction of any size, passes through little
//! memory, and no error in one goes unnoticed. Everything else goes over the driver's connections.

mod login;
mod packets;
mod tls;

pub(crate) use login::login;
pub(crate) use packets::{Packets, server_error};
