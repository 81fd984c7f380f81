//! When to look at the catalog: not at every poll.
//!
//! Whatever changes what the catalog shows is a transaction of this database, and leaves its records in the log: a
//! table made, renamed, switched or dropped, an instance made, noticed or cleaned up, a permission given. So as long as
//! the log ends where it ended *before* the last look, another look would find the same. Asking where it ends costs
//! nothing, as every poll begins with that.
//!
//! Where the log goes on, but nothing more of it has been captured, there are no rows to read, so what the catalog
//! shows may be old for a moment. Before anything is read, and before a higher place is reached, there is always a look.
//!
//! Little is not in this database's log: what a login may do at the server, which the catalog shows accordingly, the
//! server's clock. And some things wait for their time. So now and then there is a look anyway.

use std::time::{Duration, Instant};

use crate::position::Lsn;

/// How old a look may be where the log has gone on.
const AGE_MAX: Duration = Duration::from_secs(1);
/// How old a look may be in any case.
const IDLE_AGE_MAX: Duration = Duration::from_secs(10);

/// See the module's docs.
#[derive(Debug, Default)]
pub(super) struct Lookout {
    /// Where the log ended before the last look, and when that was.
    last: Option<(Lsn, Instant)>,
}

impl Lookout {
    /// Whether a look is due, although nothing is to be read, where the log ends at `end`.
    pub(super) fn is_due(&self, end: Lsn) -> bool {
        self.last.is_none_or(|(last_end, at)| at.elapsed() >= if end == last_end { IDLE_AGE_MAX } else { AGE_MAX })
    }

    /// A look begins. The log ended at `end` before it.
    pub(super) fn begin(&mut self, end: Lsn) {
        self.last = Some((end, Instant::now()));
    }

    /// What was found is of no use: the next poll looks again.
    pub(super) fn forget(&mut self) {
        self.last = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lsn(block: u32) -> Lsn {
        Lsn::new(1, block, 1)
    }

    #[test]
    fn a_log_that_stands_still_needs_no_look() {
        let mut lookout = Lookout::default();
        assert!(lookout.is_due(lsn(7)), "there was none yet");
        lookout.begin(lsn(7));
        assert!(!lookout.is_due(lsn(7)));
        lookout.forget();
        assert!(lookout.is_due(lsn(7)));
    }

    #[test]
    fn a_log_that_goes_on_needs_a_look_soon_and_any_now_and_then() {
        let ago = |age: Duration| Lookout { last: Instant::now().checked_sub(age).map(|then| (lsn(7), then)) };
        assert!(!ago(AGE_MAX).is_due(lsn(7)));
        assert!(ago(AGE_MAX).is_due(lsn(8)));
        assert!(ago(AGE_MAX).is_due(lsn(6)), "another log");
        assert!(ago(IDLE_AGE_MAX).is_due(lsn(7)));
    }
}
