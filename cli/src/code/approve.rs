//! `cloister code approve`: an owner lets code see rows, inside the enclave only.

use std::{
    io::{BufRead, IsTerminal, Write},
    path::PathBuf,
};

use clap::Args;
use cloister_party::write_atomically;
use cloister_protocol::{
    Signed,
    code::{CodeApproval, CodeFile, Parameter},
};
use cloister_sandbox::{Parameter as Stated, inspect};
use serde_json::json;

use crate::{
    enrol::fingerprint,
    error::{Context, Error, Result},
    home::OwnerHome,
    run::trainers,
    ui::{self, Page, Report, Ui, printable},
};

/// Approve signed code, after looking at what it asks for
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  cloister code approve logistic@1.code --home hospital-a
  cloister code approve logistic@1.code --home hospital-a --yes")]
pub struct Approve {
    /// The file of signed code
    file: PathBuf,
    /// The owner's home
    #[arg(long, value_name = "DIR")]
    home: PathBuf,
    /// Approve without being asked
    #[arg(long, short)]
    yes: bool,
}

impl Approve {
    /// Shows the code and signs the approval.
    pub fn run(&self, ui: Ui) -> Result<Report> {
        if ui.json && !self.yes {
            return Err(Error::usage(
                "--json asks nobody: look at the code with `cloister show`, then say --yes as well",
            ));
        }
        let owner = OwnerHome::open(&self.home)?;
        // 1. What it is, by its own bytes.
        let code = trainers::read(&self.file)?;
        let component = CodeFile::from_bytes(&code.bytes).with_path(&self.file)?.component;
        let about = inspect(&component).with_path(&self.file)?;
        let manifest = &code.manifest.value;
        require_same_parameters(&manifest.parameters, &about.parameters).with_path(&self.file)?;
        let named = format!("{}@{}", printable(&manifest.name), printable(&manifest.version));
        let source = manifest.source.as_ref().map(|source| {
            format!("{} at {}", printable(&source.repository), printable(&source.commit))
        });
        let mut page = Page::new()
            .title(format!("{named} asks to see your rows, inside an approved enclave"))
            .row("author's key", fingerprint(&code.manifest.signer.id()))
            .row("component", manifest.component)
            .row("size", ui::bytes(manifest.length))
            .row("what it does", printable(&about.summary))
            .row("its model", printable(&about.model))
            .row("source", source.unwrap_or_else(|| "not said".to_owned()))
            .row("imports", "numeric kernels and random numbers; nothing else (checked)");
        for p in &about.parameters {
            let (lower, upper, default) = (p.minimum, p.maximum, p.default);
            let about = printable(&p.about);
            let range = format!("{lower} to {upper}, by default {default}: {about}");
            page = page.row(format!("parameter {}", printable(&p.name)), range);
        }
        let page = page.text(
            "What leaves is clipped and noised whatever the code does; the policy says how much.",
        );

        // 2. A person's word, on what that person was shown.
        if self.yes {
            ui.page(&page);
        } else {
            ask(&page, &named)?;
        }

        // 3. The approval.
        let approval =
            CodeApproval { code: code.manifest.id, component: code.manifest.value.component };
        let signed = Signed::sign(&approval, &owner.key).doing("cannot sign the approval")?;
        let folder = owner.home.directory("approvals").map_err(Error::failed)?;
        let hex = code.manifest.id.to_string();
        let path = folder.join(format!("{}.cloister", &hex[..32]));
        write_atomically(&path, signed.as_bytes(), 0o644).with_path(&path)?;
        let page = Page::new().good(format!("Approved {named}")).row("approval", path.display());
        let json = json!({
            "code": format!("{}@{}", manifest.name, manifest.version),
            "id": hex,
            "component": manifest.component.to_hex(),
            "author": code.manifest.signer.id().to_string(),
            "approval": path,
        });
        Ok(Report::done(page, json))
    }
}

/// The author signs what a job may set; the component says what it understands. An owner
/// reads the second and is bound by the first, so they have to be the same.
fn require_same_parameters(
    signed: &[Parameter],
    stated: &[Stated],
) -> std::result::Result<(), String> {
    let of_signed = signed.iter().map(|p| (p.name.as_str(), p.lower, p.upper, p.default));
    let of_stated = stated.iter().map(|p| (p.name.as_str(), p.minimum, p.maximum, p.default));
    let mut pairs = of_signed.zip(of_stated);
    if let Some((signed, stated)) = pairs.find(|(signed, stated)| signed != stated) {
        let text = |(name, lower, upper, default): (&str, f64, f64, f64)| {
            format!("{} from {lower} to {upper}, by default {default}", printable(name))
        };
        return Err(format!(
            "the author signed parameter {}, and the component says {}: do not approve it; the \
             author signs it again with `cloister code sign`",
            text(signed),
            text(stated)
        ));
    }
    if signed.len() != stated.len() {
        return Err(format!(
            "the author signed {} parameters, and the component says {}: do not approve it; the \
             author signs it again with `cloister code sign`",
            signed.len(),
            stated.len()
        ));
    }
    Ok(())
}

/// Asks on the terminal; without one, somebody has to have said --yes. The page is shown
/// whatever the options say about output: nobody agrees to what was not shown.
fn ask(page: &Page, named: &str) -> Result<()> {
    let (stdin, mut stderr) = (std::io::stdin(), anstream::stderr());
    if !stdin.is_terminal() {
        return Err(Error::usage(
            "there is no terminal to ask on: look at the code with `cloister show`, then say --yes",
        ));
    }
    let shown = write!(stderr, "{}Approve {named}? Type yes: ", page.render());
    shown.and_then(|()| stderr.flush()).doing("cannot show what is to be approved")?;
    let mut answer = String::new();
    stdin.lock().read_line(&mut answer).doing("cannot read the answer")?;
    if answer.trim() == "yes" { Ok(()) } else { Err(Error::failed("not approved")) }
}

#[cfg(test)]
mod tests {
    use cloister_sandbox::ParameterKind;

    use super::*;

    fn signed(name: &str, lower: f64, upper: f64, default: f64) -> Parameter {
        Parameter { name: name.into(), lower, upper, default }
    }

    #[test]
    fn what_the_author_signed_is_what_the_component_says() {
        let stated = |name: &str| Stated {
            name: name.into(),
            kind: ParameterKind::Real,
            minimum: 0.0,
            maximum: 1.0,
            default: 0.5,
            about: "strength".into(),
        };
        let both = [stated("l1"), stated("l2")];
        let good = signed("l1", 0.0, 1.0, 0.5);
        let check = |second| require_same_parameters(&[good.clone(), second], &both);
        assert_eq!(check(signed("l2", 0.0, 1.0, 0.5)), Ok(()));
        for (what, wrong) in [
            ("name", signed("l3", 0.0, 1.0, 0.5)),
            ("lower", signed("l2", -1.0, 1.0, 0.5)),
            ("upper", signed("l2", 0.0, 1e9, 0.5)),
            ("default", signed("l2", 0.0, 1.0, 1.0)),
        ] {
            let error = check(wrong).unwrap_err();
            assert!(error.contains("do not approve it"), "{what}: {error}");
        }
        assert!(
            require_same_parameters(std::slice::from_ref(&good), &both).is_err(),
            "one is hidden"
        );
        assert!(require_same_parameters(&[good], &[]).is_err(), "one is made up");
    }
}
