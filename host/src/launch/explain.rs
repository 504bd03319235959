//! Why a process ended, for the operator.

use std::{
    collections::VecDeque,
    os::unix::process::ExitStatusExt,
    process::ExitStatus,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, BufReader},
    process::ChildStderr,
};

const LINES: usize = 8;
const LINE: u64 = 1024;

/// The last lines that a process wrote to its standard error.
#[derive(Clone, Debug, Default)]
pub(super) struct LastWords(Arc<Mutex<VecDeque<String>>>);

impl LastWords {
    /// Passes lines on to the log, quoted, and keeps the last ones.
    pub(super) async fn listen(self, stderr: ChildStderr) {
        let mut reader = BufReader::new(stderr);
        let mut line = Vec::new();
        loop {
            line.clear();
            // A line without end comes in pieces, and never fills the memory.
            match (&mut reader).take(LINE).read_until(b'\n', &mut line).await {
                Ok(0) | Err(_) => return,
                Ok(_) => {}
            }
            let text = String::from_utf8_lossy(&line).trim_end().to_owned();
            tracing::info!(target: "enclave", line = ?text);
            let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            if lines.len() == LINES {
                lines.pop_front();
            }
            lines.push_back(text);
        }
    }

    fn text(&self) -> String {
        let lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        lines.iter().map(String::as_str).collect::<Vec<_>>().join(" | ")
    }
}

/// One sentence on why a process ended, with its last words.
pub(super) fn explain(status: ExitStatus, words: &LastWords) -> String {
    let how = match (status.code(), status.signal()) {
        (Some(0), _) => "it ended by itself".to_owned(),
        (Some(code), _) => format!("it ended with code {code}"),
        (None, Some(9)) => {
            "it was killed (signal 9): by an operator, or because memory ran out".to_owned()
        }
        (None, Some(31)) => {
            "it was killed for a system call it may not make (signal 31)".to_owned()
        }
        (None, Some(signal)) => format!("it was ended by signal {signal}"),
        (None, None) => "it ended".to_owned(),
    };
    match words.text() {
        text if text.is_empty() => how,
        text => format!("{how}; its last words: {}", text.escape_debug()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_how_it_ended_and_quotes_its_last_words() {
        let words = LastWords::default();
        assert_eq!(explain(ExitStatus::from_raw(0x100), &words), "it ended with code 1");
        words.0.lock().unwrap().push_back("no \u{1b}[31mvendor".into());
        let killed = explain(ExitStatus::from_raw(9), &words);
        assert!(killed.contains("memory ran out"), "{killed}");
        assert!(killed.contains("no \\u{1b}[31mvendor"), "{killed}");
    }
}
