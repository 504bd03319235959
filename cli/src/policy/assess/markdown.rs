//! The draft as a page that a person goes on writing.

use std::fmt::{self, Write as _};

use super::fact::{Section, Source};
use crate::ui::sentence;

/// The first line of every draft; a file that begins otherwise is never replaced.
pub(super) const TITLE: &str = "# Data-protection impact assessment (draft)";

const HEAD: &str = "\
This is a draft, and a person answers for it. `cloister policy assess` filled it from what is
signed in the home and from pages of the documentation, and says with each fact where it comes
from. It does not say that the processing is lawful, necessary or safe: that is for the
controller to assess (Art. 35 GDPR). What only a person can say or decide is marked
`[to be filled in: ...]`.";

/// The whole page.
pub(super) fn render(of: &str, notes: &[String], sections: &[Section]) -> String {
    let mut page = String::new();
    // Writing to a String cannot fail.
    let _ = write(&mut page, of, notes, sections);
    page
}

fn write(page: &mut String, of: &str, notes: &[String], sections: &[Section]) -> fmt::Result {
    writeln!(page, "{TITLE}\n\n{HEAD}\n\n{of}\n")?;
    if !notes.is_empty() {
        writeln!(page, "**Read this first:**\n")?;
        for note in notes {
            writeln!(page, "- {}", plain(note))?;
        }
        writeln!(page)?;
    }
    let mut sources: Vec<&Source> = Vec::new();
    for (number, section) in (1..).zip(sections) {
        let Section { title, asks, facts, blanks } = section;
        writeln!(page, "## {number}. {title}\n\n{asks}\n")?;
        if !facts.is_empty() {
            writeln!(page, "| what | | from |\n|---|---|---|")?;
        }
        for fact in facts {
            writeln!(page, "| {} | {} | {} |", fact.what, cell(&fact.says), cell(&fact.from))?;
            if !sources.contains(&&fact.from) {
                sources.push(&fact.from);
            }
        }
        if !facts.is_empty() {
            writeln!(page)?;
        }
        for blank in blanks {
            writeln!(page, "- [to be filled in: {blank}]")?;
        }
        if !blanks.is_empty() {
            writeln!(page)?;
        }
    }
    writeln!(page, "## Sources\n\nWhat is abbreviated above, in full.\n")?;
    for line in sources.iter().filter_map(|source| source.whole()) {
        writeln!(page, "- {line}")?;
    }
    Ok(())
}

/// A sentence in which names of others are no Markdown.
fn plain(text: &str) -> String {
    let mut plain = String::new();
    for c in sentence(text).chars() {
        if "\\`*_[]<>#|".contains(c) {
            plain.push('\\');
        }
        plain.push(c);
    }
    plain
}

/// Text that does not end its cell.
fn cell(text: &impl ToString) -> String {
    text.to_string().replace('|', "\\|")
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::policy::assess::fact::Fact;

    #[test]
    fn an_assessment_is_facts_blanks_and_sources() {
        let fact =
            Fact { what: "purpose", says: "`a|b`".into(), value: Value::Null, from: Source::Home };
        let section = Section {
            title: "Purposes",
            asks: "Why?",
            facts: vec![fact],
            blanks: vec!["the legal basis".into()],
        };
        let page = render("About a.", &["careful, [x](y)".into()], &[section]);
        assert!(page.starts_with(TITLE), "{page}");
        for part in [
            "- careful, \\[x\\](y)\n",
            "## 1. Purposes\n\nWhy?\n",
            "| purpose | `a\\|b` | home |\n",
            "- [to be filled in: the legal basis]\n",
        ] {
            assert!(page.contains(part), "{part} is not in {page}");
        }
    }
}
