//! Debouncing: waits until events stop.

use std::time::{Duration, Instant};

/// The longest wait, as a multiple of the quiet time.
const PATIENCE: u32 = 20;

/// Waits until no event has come for a while.
#[derive(Debug)]
pub struct Debounce {
    quiet: Duration,
    /// The first and the last event since the last quiet time.
    heard: Option<(Instant, Instant)>,
}

impl Debounce {
    /// Waits for this long without events, but at most twenty times that in all, so that an endlessly
    /// written file does not block everything.
    pub fn new(quiet: Duration) -> Debounce {
        Debounce { quiet, heard: None }
    }

    /// Records an event.
    pub fn hear(&mut self, now: Instant) {
        let first = self.heard.map_or(now, |(first, _)| first);
        self.heard = Some((first, now));
    }

    /// Returns when it will have been quiet for long enough, if no more events come.
    pub fn due(&self) -> Option<Instant> {
        let (first, last) = self.heard?;
        Some((last + self.quiet).min(first + self.quiet * PATIENCE))
    }

    /// Returns whether it is quiet by now, and starts over if so.
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
