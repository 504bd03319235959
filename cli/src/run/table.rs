//! The table that grows while a job goes on.

use std::{io::IsTerminal, time::Duration};

use cloister_protocol::release::Stage;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::json;

use super::watch::Fetched;
use crate::{
    host::JobStatus,
    ui::{Page, Ui, printable},
};

/// Rows as releases come; below them, on a terminal, what the host is doing.
pub struct Table {
    ui: Ui,
    live: ProgressBar,
    state: String,
    begun: bool,
}

impl Table {
    /// An empty table.
    pub fn new(ui: Ui) -> Self {
        let live = if ui.json || ui.quiet || !std::io::stderr().is_terminal() {
            ProgressBar::hidden()
        } else {
            let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
            if let Ok(style) = ProgressStyle::with_template("{spinner} {msg}") {
                bar.set_style(style);
            }
            bar.enable_steady_tick(Duration::from_millis(120));
            bar
        };
        Self { ui, live, state: String::new(), begun: false }
    }

    /// The host's word on the job; shown when it changes.
    pub fn state(&mut self, status: &JobStatus) {
        let detail = status.detail.as_deref().map(printable).filter(|text| !text.is_empty());
        let state = match detail {
            Some(detail) => format!("{}: {detail}", printable(&status.state)),
            None => printable(&status.state),
        };
        if state == self.state || status.ended() {
            return;
        }
        self.live.set_message(state.clone());
        if self.ui.json {
            self.ui.json_line(&json!({
                "event": "state",
                "state": status.state,
                "detail": status.detail,
            }));
        } else if self.live.is_hidden() && !self.begun {
            self.line(&state);
        }
        self.state = state;
    }

    /// A release has come.
    pub fn release(&mut self, fetched: &Fetched, epsilon: f64, time: Duration) {
        let release = &fetched.checked.release.value;
        let (accuracy, seconds) = (fetched.tensors.scalar("accuracy"), time.as_secs_f64());
        if self.ui.json {
            self.ui.json_line(&json!({
                "event": "release",
                "number": release.number,
                "of": release.of,
                "round": match release.stage {
                    Stage::Centring => Some(0),
                    Stage::Round(round) => Some(round),
                    Stage::Metrics => None,
                },
                "stage": release.stage,
                "units": release.divisor,
                "accuracy": accuracy,
                "epsilon": epsilon,
                "seconds": seconds,
            }));
            return;
        }
        if !self.begun {
            self.begun = true;
            self.line("   round   units  accuracy  epsilon     time");
        }
        let stage = match release.stage {
            Stage::Centring => "centre".to_owned(),
            Stage::Round(round) => format!("{round}/{}", fetched.checked.job.value.rounds),
            Stage::Metrics => "metrics".to_owned(),
        };
        let accuracy = accuracy.map_or_else(|| "-".to_owned(), |a| format!("{a:.3}"));
        let units = release.divisor;
        self.line(&format!("{stage:>8} {units:>7} {accuracy:>9} {epsilon:>8.3} {seconds:>7.1}s"));
    }

    /// The job has ended.
    pub fn end(&self) {
        self.live.finish_and_clear();
    }

    fn line(&self, text: &str) {
        self.live.suspend(|| self.ui.page(&Page::new().text(text)));
    }
}
