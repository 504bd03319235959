//! The command that goes on with a job.

use std::path::Path;

/// A command line that goes on with a job as it was begun, for a shell.
pub fn line(id: &str, home: &Path, host: &str, folder: &Path, delta: f64) -> String {
    let (home, folder) = (home.to_string_lossy(), folder.to_string_lossy());
    let (home, host, folder) = (quoted(&home), quoted(host), quoted(&folder));
    format!("cloister follow {id} --home {home} --host {host} -o {folder} --delta {delta:e}")
}

/// One word for a shell.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || "-_./:@+,=".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', "'\\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn carries_everything_that_following_needs() {
        let line = line("3f", Path::new("my lab"), "node-1", Path::new("it's/out"), 1e-6);
        let expected =
            r"cloister follow 3f --home 'my lab' --host node-1 -o 'it'\''s/out' --delta 1e-6";
        assert_eq!(line, expected);
    }
}
