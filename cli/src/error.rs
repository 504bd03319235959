//! The one error of this program: a line that says what to do, and an exit code.

use std::{fmt::Display, path::Path};

use thiserror::Error;

/// What went wrong, in a sentence for the person at the terminal.
#[derive(Debug, Error)]
pub enum Error {
    /// The command was used in a way that cannot work: exit code 2.
    #[error("{0}")]
    Usage(String),
    /// A person ended it: exit code 130, as a shell has it.
    #[error("interrupted: nothing was written")]
    Interrupted,
    /// The command was right, and what it was to do failed or was refused: exit code 1.
    #[error("{0}")]
    Failed(String),
}

/// A result of this program.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// Wrong use.
    pub fn usage(message: impl Display) -> Self {
        Self::Usage(one_line(&message.to_string()))
    }

    /// Something failed.
    pub fn failed(message: impl Display) -> Self {
        Self::Failed(one_line(&message.to_string()))
    }

    /// The program's exit code.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Usage(_) => 2,
            Self::Interrupted => 130,
            Self::Failed(_) => 1,
        }
    }
}

/// Turns any error into ours, and says what was being done.
pub trait Context<T> {
    /// `WHAT: why`.
    fn doing(self, what: impl Display) -> Result<T>;

    /// `PATH: why`.
    fn with_path(self, path: &Path) -> Result<T>;
}

impl<T, E: Display> Context<T> for std::result::Result<T, E> {
    fn doing(self, what: impl Display) -> Result<T> {
        self.map_err(|error| Error::failed(format!("{what}: {error}")))
    }

    fn with_path(self, path: &Path) -> Result<T> {
        self.doing(path.display())
    }
}

/// TOML that people wrote: `PATH, line N: why`.
pub fn toml_error(path: &Path, text: &str, error: &toml::de::Error) -> Error {
    let place = error.span().map_or(String::new(), |span| {
        let line = text.bytes().take(span.start).filter(|byte| *byte == b'\n').count() + 1;
        format!(", line {line}")
    });
    Error::failed(format!("{}{place}: {}", path.display(), error.message()))
}

/// Errors of others may span lines, as those of TOML do; ours never do.
fn one_line(text: &str) -> String {
    let kept = text.lines().map(str::trim).filter(|line| !line.is_empty());
    kept.collect::<Vec<_>>().join(" ").chars().filter(|c| !c.is_control()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_one_printable_line() {
        let error = Error::failed("a\n  | b\n\n\u{1b}[31mc");
        assert_eq!(error.to_string(), "a | b [31mc");
        assert_eq!(error.exit_code(), 1);
        assert_eq!(Error::usage("x").exit_code(), 2);
    }

    #[test]
    fn toml_errors_name_the_line() {
        let text = "a = 1\nb = oops\n";
        let error = toml::from_str::<toml::Table>(text).unwrap_err();
        let shown = toml_error(Path::new("job.toml"), text, &error).to_string();
        assert!(shown.starts_with("job.toml, line 2: "), "{shown}");
    }
}
