//! Progress on standard error: a bar on a terminal, JSON lines otherwise.

use std::io::{IsTerminal, Write};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

use crate::progress::{Phase, Progress};

/// JSON lines come at each change of phase and this often in between.
const LINE_EVERY: Duration = Duration::from_secs(5);

#[derive(Clone)]
pub(super) struct Bar(Arc<Kind>);

enum Kind {
    Quiet,
    Terminal(ProgressBar),
    Lines(Mutex<Option<(Phase, Instant)>>),
}

impl Bar {
    pub(super) fn new(quiet: bool) -> Self {
        Self(Arc::new(match (quiet, std::io::stderr().is_terminal()) {
            (true, _) => Kind::Quiet,
            (false, true) => Kind::Terminal(ProgressBar::hidden()),
            (false, false) => Kind::Lines(Mutex::new(None)),
        }))
    }

    pub(super) fn tell(&self, progress: Progress) {
        match &*self.0 {
            Kind::Quiet => {}
            Kind::Terminal(bar) => draw(bar, progress),
            Kind::Lines(last) => {
                let mut last = last.lock().unwrap_or_else(PoisonError::into_inner);
                let due = last.is_none_or(|(phase, at)| phase != progress.phase || at.elapsed() >= LINE_EVERY);
                if due && let Ok(json) = serde_json::to_string(&progress) {
                    *last = Some((progress.phase, Instant::now()));
                    let _ = writeln!(std::io::stderr(), "{json}");
                }
            }
        }
    }

    pub(super) fn clear(&self) {
        if let Kind::Terminal(bar) = &*self.0 {
            bar.finish_and_clear();
        }
    }
}

fn draw(bar: &ProgressBar, progress: Progress) {
    if bar.is_hidden() {
        bar.set_draw_target(indicatif::ProgressDrawTarget::stderr());
    }
    let template = match progress.bytes_total {
        Some(_) => "{msg:11} [{bar:30}] {bytes} of {total_bytes}, {bytes_per_sec}, {eta} left",
        None => "{msg:11} {spinner}",
    };
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style.progress_chars("=> "));
    }
    bar.set_message(match progress.phase {
        Phase::Preparing => "preparing",
        Phase::Dumping => "backing up",
        Phase::Committing => "committing",
        Phase::Verifying => "verifying",
        Phase::Loading => "loading",
        Phase::Finishing => "finishing",
        Phase::Comparing => "comparing",
        Phase::Reencrypting => "reencrypting",
    });
    bar.set_length(progress.bytes_total.unwrap_or(0).max(progress.bytes_done));
    bar.set_position(progress.bytes_done);
}
