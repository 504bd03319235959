//! The only things that this enclave says about itself.
//!
//! An [`Event`] has numbers, identifiers and codes; there is no way to put free text
//! into one, so none can carry a row. [`install`] makes it the only thing that is written:
//! whatever a dependency says through `tracing` is dropped, and a panic's message,
//! which could hold a value, becomes [`Event::Panicked`].

use std::io::{self, Write as _};

use cloister_protocol::transcript::TranscriptId;
use tracing::{
    Level, Metadata, Subscriber,
    field::{Field, Visit},
    span,
};

use crate::refusal::Code;

const TARGET: &str = "cloister_enclave::event";

/// Something that happened. Nothing in it depends on rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// The enclave listens.
    Listening {
        /// Worker processes for each job.
        workers: usize,
    },
    /// A connection was accepted.
    Connected {
        /// Its number since the start.
        exchange: u64,
    },
    /// An exchange ended before its end.
    Disconnected {
        /// Its number.
        exchange: u64,
    },
    /// A request was refused.
    Refused {
        /// The exchange.
        exchange: u64,
        /// Why.
        code: Code,
    },
    /// Evidence was made.
    Attested {
        /// For this transcript.
        transcript: TranscriptId,
    },
    /// All grants were opened.
    Granted {
        /// The transcript.
        transcript: TranscriptId,
    },
    /// A dataset is complete.
    Loaded {
        /// The transcript.
        transcript: TranscriptId,
        /// The dataset's place.
        index: u32,
        /// How many are missing.
        missing: u32,
    },
    /// A release was made, at its time.
    Released {
        /// The transcript.
        transcript: TranscriptId,
        /// The release's number.
        number: u32,
    },
    /// The last release was made, or the session was abandoned.
    Ended {
        /// The transcript.
        transcript: TranscriptId,
    },
    /// A fault of the enclave itself. Where it was is left out on purpose.
    Panicked,
}

/// Emits an event through `tracing`.
pub fn emit(event: Event) {
    macro_rules! event {
        ($name:literal $($fields:tt)*) => {
            tracing::event!(target: TARGET, Level::INFO, event = $name $($fields)*)
        };
    }
    match event {
        Event::Listening { workers } => event!("listening", workers),
        Event::Connected { exchange } => event!("connected", exchange),
        Event::Disconnected { exchange } => event!("disconnected", exchange),
        Event::Refused { exchange, code } => event!("refused", exchange, code = code.as_str()),
        Event::Attested { transcript } => event!("attested", transcript = short(&transcript)),
        Event::Granted { transcript } => event!("granted", transcript = short(&transcript)),
        Event::Loaded { transcript, index, missing } => {
            event!("loaded", transcript = short(&transcript), index, missing);
        }
        Event::Released { transcript, number } => {
            event!("released", transcript = short(&transcript), number);
        }
        Event::Ended { transcript } => event!("ended", transcript = short(&transcript)),
        Event::Panicked => event!("panicked"),
    }
}

fn short(transcript: &TranscriptId) -> String {
    transcript.digest().short()
}

/// Sends events, and nothing else, to standard error as lines of JSON; makes panics silent.
pub fn install() {
    // Fails only where somebody has installed another subscriber, as tests may.
    let _ = tracing::subscriber::set_global_default(Lines);
    std::panic::set_hook(Box::new(|_| emit(Event::Panicked)));
}

/// Writes events as lines of JSON.
struct Lines;

impl Subscriber for Lines {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.is_event() && metadata.target() == TARGET
    }

    fn event(&self, event: &tracing::Event<'_>) {
        let mut line = Line(String::from("{"));
        event.record(&mut line);
        line.0.push_str("}\n");
        // Nobody can be told that standard error is closed.
        let _ = io::stderr().write_all(line.0.as_bytes());
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }
    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}
    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}
    fn enter(&self, _: &span::Id) {}
    fn exit(&self, _: &span::Id) {}
}

struct Line(String);

impl Line {
    fn field(&mut self, field: &Field, value: &str) {
        if self.0.len() > 1 {
            self.0.push(',');
        }
        self.0.push('"');
        self.0.push_str(field.name());
        self.0.push_str("\":");
        self.0.push_str(value);
    }
}

impl Visit for Line {
    fn record_u64(&mut self, field: &Field, value: u64) {
        self.field(field, &value.to_string());
    }
    fn record_str(&mut self, field: &Field, value: &str) {
        // Event names, codes and hexadecimal digits need no escaping.
        self.field(field, &format!("\"{value}\""));
    }
    fn record_debug(&mut self, _: &Field, _: &dyn std::fmt::Debug) {}
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use cloister_protocol::Digest;

    use super::*;

    /// Keeps lines instead of writing them.
    struct Kept(Arc<Mutex<Vec<String>>>);
    impl Subscriber for Kept {
        fn enabled(&self, metadata: &Metadata<'_>) -> bool {
            Lines.enabled(metadata)
        }
        fn event(&self, event: &tracing::Event<'_>) {
            let mut line = Line(String::from("{"));
            event.record(&mut line);
            self.0.lock().unwrap().push(line.0 + "}");
        }
        fn new_span(&self, attributes: &span::Attributes<'_>) -> span::Id {
            Lines.new_span(attributes)
        }
        fn record(&self, _: &span::Id, _: &span::Record<'_>) {}
        fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}
        fn enter(&self, _: &span::Id) {}
        fn exit(&self, _: &span::Id) {}
    }

    #[test]
    fn only_events_are_written() {
        let lines = Arc::new(Mutex::new(Vec::new()));
        tracing::subscriber::with_default(Kept(Arc::clone(&lines)), || {
            tracing::error!(secret = "patient 7", "a library's own words");
            let transcript = TranscriptId::new(Digest::from_bytes([0xab; 64]));
            emit(Event::Loaded { transcript, index: 1, missing: 2 });
            emit(Event::Refused { exchange: 3, code: Code::Busy });
        });
        let expected = [
            r#"{"event":"loaded","transcript":"abababababababab","index":1,"missing":2}"#,
            r#"{"event":"refused","exchange":3,"code":"busy"}"#,
        ];
        assert_eq!(*lines.lock().unwrap(), expected);
    }
}
