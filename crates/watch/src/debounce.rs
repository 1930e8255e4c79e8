//! When it is quiet again.

use std::time::{Duration, Instant};

/// However restless it is, nobody waits longer than so many times the quiet time.
const PATIENCE: u32 = 20;

/// Waits until nothing has been heard for a while.
#[derive(Debug)]
pub struct Debounce {
    quiet: Duration,
    /// The first and the last thing that was heard since the last time it was quiet.
    heard: Option<(Instant, Instant)>,
}

impl Debounce {
    /// Waits for so long a time without events; but never longer than twenty times that in all, so
    /// that a file that is written to without end does not keep everything from happening.
    pub fn new(quiet: Duration) -> Debounce {
        Debounce { quiet, heard: None }
    }

    /// Notes that something was heard.
    pub fn hear(&mut self, now: Instant) {
        let first = self.heard.map_or(now, |(first, _)| first);
        self.heard = Some((first, now));
    }

    /// Tells when it will have been quiet for long enough, if nothing more is heard.
    pub fn due(&self) -> Option<Instant> {
        let (first, last) = self.heard?;
        Some((last + self.quiet).min(first + self.quiet * PATIENCE))
    }

    /// Returns whether it is quiet by now, and begins anew if so.
    pub fn take(&mut self, now: Instant) -> bool {
        let due = self.due().is_some_and(|due| due <= now);
        if due {
            self.heard = None;
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_event_arms_it_again_but_not_for_ever() {
        let (start, ms) = (Instant::now(), Duration::from_millis);
        let mut debounce = Debounce::new(ms(100));
        assert_eq!(debounce.due(), None);
        assert!(!debounce.take(start), "nothing was heard");
        debounce.hear(start);
        debounce.hear(start + ms(60));
        assert!(!debounce.take(start + ms(159)));
        assert!(debounce.take(start + ms(160)));
        assert!(!debounce.take(start + ms(500)), "it was taken");
        for at in (0..5_000).step_by(50) {
            debounce.hear(start + ms(at));
        }
        assert_eq!(debounce.due(), Some(start + ms(2_000)));
    }
}
