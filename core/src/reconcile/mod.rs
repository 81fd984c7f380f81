//! Reconcile: the one way that rows enter other than by the stream.
//!
//! First read, re-read after a schema change, repair and `verify` are all a *pass* over a table: its rows are read in
//! chunks beside the running stream, and only what differs is written.
//!
//! # Why a pass ends with exactly the rows that exist
//!
//! A pass has a generation *g*, larger than any before. From its begin on, every row that the stream writes is stamped
//! *g*, and every row that the stream deletes leaves a tombstone stamped *g*. Let *s₀* be the stream's position then.
//!
//! *A chunk's row is right when it is applied.* A chunk shows the table as it was at some place *q* of the log. The
//! read was asked for after the pass began, so *s₀ ≤ q*; and the connector names a position `high` with *q ≤ high*. The
//! chunk is applied once the stream has reached some *s ≥ high*. Take a key of the chunk's rows. If the stream brought
//! any change of it in *(s₀, s]*, then the row or tombstone stored is stamped *g*, the row of the chunk is skipped, and
//! what is stored is the stream's word at *s*. If the stream brought none, the row did not change in *(s₀, s]*, which
//! contains *q*: the row at *q* is the row at *s*, and it is written and stamped.
//!
//! So it isn't needed to know which changes fell between the begin and the end of the one read, nor to remember keys in
//! memory: the stamp says it all. (A stamp may also come from a chunk of the same pass that overlapped; then both
//! showed the row unchanged.)
//!
//! *After the last chunk, what has an older stamp is gone.* Every identity lies in some chunk's range. A row that exists
//! now either existed when its chunk was read, and was stamped by it or by the stream, or came later, by the stream,
//! and was stamped. A stored row with an older stamp was neither, so it doesn't exist: the sweep removes it.
//!
//! *A schema change of the table* makes it doubtful what chunks on their way were read by, so it begins a new pass with
//! a larger generation; chunks of an older generation are dropped on arrival.
//!
//! *A restart of the process* resumes a pass: what remains of each range is stored with the chunk that covered the
//! part before, in one commit. The stream resumes at the position of that commit at the latest, with the same *g*, so
//! both arguments hold across it. What was written without a commit may have survived a crash, too. Its stamps are no
//! danger to passes that begin after the restart, as a generation is never given twice; and a pass that goes on may
//! meet them, but the stream brings everything after its position once more.

mod pass;
mod reader;

pub use pass::PassSummary;
pub(crate) use pass::{Pass, ReadyChunk};
pub(crate) use reader::{PassMessage, PassReading, Readers};
