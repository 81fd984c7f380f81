//! The wire protocol, TDS 7.3 to 7.4 and the encryption of 8.0: what bytes mean, without doing anything about it.

pub mod bulk_load;
pub mod decode;
pub mod encode;
pub mod envelope;
pub mod login;
pub mod packet;
pub mod prelogin;
pub mod reader;
pub mod request;
mod table_value;
pub mod token;
pub mod type_info;
mod variant;

#[cfg(test)]
mod properties;
