//! `cloister code approve`: an owner lets code see rows, inside the enclave only.

use std::{
    io::{BufRead, IsTerminal, Write},
    path::PathBuf,
};

use clap::Args;
use cloister_party::write_atomically;
use cloister_protocol::{
    Signed,
    code::{CodeApproval, CodeFile},
};
use cloister_sandbox::inspect;
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
        let owner = OwnerHome::open(&self.home)?;
        // 1. What it is, by its own bytes.
        let code = trainers::read(&self.file)?;
        let component = CodeFile::from_bytes(&code.bytes).with_path(&self.file)?.component;
        let about = inspect(&component).with_path(&self.file)?;
        let manifest = &code.manifest.value;
        let named = format!("{}@{}", printable(&manifest.name), printable(&manifest.version));
        let source = manifest.source.as_ref().map(|source| {
            format!("{} at {}", printable(&source.repository), printable(&source.commit))
        });
        let mut page = Page::new()
            .title(format!("{named} asks to see your rows, inside an approved enclave"))
            .row("author's key", fingerprint(&code.manifest.signer.id()))
            .row("component", fingerprint_of(&manifest.component.to_hex()))
            .row("size", ui::bytes(manifest.length))
            .row("what it does", printable(&about.summary))
            .row("its model", printable(&about.model))
            .row("source", source.unwrap_or_else(|| "not said".to_owned()))
            .row("imports", "numeric kernels and random numbers; nothing else (checked)");
        for p in &about.parameters {
            let range = format!("{} to {}: {}", p.minimum, p.maximum, printable(&p.about));
            page = page.row(format!("parameter {}", printable(&p.name)), range);
        }
        ui.page(&page.text(
            "What leaves is clipped and noised whatever the code does; the policy says how much.",
        ));

        // 2. A person's word.
        if !self.yes {
            ask(&named)?;
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

/// Asks on the terminal; without one, somebody has to have said --yes.
fn ask(named: &str) -> Result<()> {
    let (stdin, mut stderr) = (std::io::stdin(), anstream::stderr());
    if !stdin.is_terminal() {
        return Err(Error::usage(
            "there is no terminal to ask on: look at the code with `cloister show`, then say --yes",
        ));
    }
    let _ = write!(stderr, "Approve {named}? Type yes: ").and_then(|()| stderr.flush());
    let mut answer = String::new();
    stdin.lock().read_line(&mut answer).doing("cannot read the answer")?;
    if answer.trim() == "yes" { Ok(()) } else { Err(Error::failed("not approved")) }
}

fn fingerprint_of(hex: &str) -> String {
    hex.get(..32).unwrap_or(hex).to_owned()
}
