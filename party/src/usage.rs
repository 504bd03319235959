//! Complaints about a command line, in one line.

/// One line of what the command line's parser prints over several: what is wrong, and
/// where to look.
#[must_use]
pub fn one_line_usage(printed: &str) -> String {
    let what = printed.split("\n\nUsage:").next().unwrap_or_default();
    let what = what.split("\n\nFor more information").next().unwrap_or_default();
    let what = what.trim_start_matches("error: ").trim_end().replace("\n\n", "; ");
    let words = what.split_whitespace().collect::<Vec<_>>().join(" ");
    format!("{}; see --help", words.trim_end_matches('.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_what_is_wrong_and_where_to_look() {
        for (printed, expected) in [
            (
                "error: the following required arguments were not provided:\n  --home <DIR>\n\n\
                 Usage: x --home <DIR>\n\nFor more information, try '--help'.\n",
                "the following required arguments were not provided: --home <DIR>; see --help",
            ),
            (
                "error: unexpected argument '--hom' found\n\n  tip: a similar argument exists: \
                 '--home'\n\nUsage: x\n",
                "unexpected argument '--hom' found; tip: a similar argument exists: '--home'; \
                 see --help",
            ),
            ("error: no.\n", "no; see --help"),
        ] {
            assert_eq!(one_line_usage(printed), expected);
        }
    }
}
