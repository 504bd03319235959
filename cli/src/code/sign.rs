//! `cloister code sign`: an author stands by a component.

use std::path::PathBuf;

use clap::Args;
use cloister_party::{Home, Role};
use cloister_protocol::{
    Signed,
    code::{CodeFile, CodeManifest, Parameter, Source, WORLD, component_digest},
    limits,
};
use cloister_sandbox::{Description, inspect};
use serde_json::json;

use crate::{
    error::{Context, Error, Result},
    files,
    ui::{Page, Report, printable},
};

/// Sign a component as its author
///
/// Asks the component what it is and which parameters it takes, and signs that together
/// with its digest. Jobs name the code by NAME@VERSION, owners approve it by its id.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  cloister code sign component.wasm --name logistic --version 1 --home author
  cloister code sign component.wasm --name logistic --version 1 --home author \\
      --repository https://example.org/trainers --commit 0123abc -o logistic@1.code")]
pub struct Sign {
    /// The component that `cloister code build` made
    component: PathBuf,
    /// The name that jobs use
    #[arg(long)]
    name: String,
    /// Its version
    #[arg(long)]
    version: String,
    /// The author's home
    #[arg(long, value_name = "DIR")]
    home: PathBuf,
    /// Where the source can be read
    #[arg(long, value_name = "URL", requires = "commit")]
    repository: Option<String>,
    /// The commit it was built from
    #[arg(long, requires = "repository")]
    commit: Option<String>,
    /// The file of signed code; NAME@VERSION.code if not said
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
}

impl Sign {
    /// Signs the component.
    pub fn run(&self) -> Result<Report> {
        for (what, text) in [("--name", &self.name), ("--version", &self.version)] {
            let good = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
            if text.is_empty() || text.len() > limits::NAME || !text.chars().all(good) {
                return Err(Error::usage(format!(
                    "{what} {text:?}: use ASCII letters, digits, `-`, `_` and `.`"
                )));
            }
        }
        let home = Home::open_as(&self.home, Role::Author).map_err(Error::failed)?;
        let key = home.signing_key().map_err(Error::failed)?;
        let component = files::read(&self.component, limits::COMPONENT)?;
        let about = inspect(&component).with_path(&self.component)?;
        let source = self.repository.clone().zip(self.commit.clone());
        let manifest = CodeManifest {
            name: self.name.clone(),
            version: self.version.clone(),
            source: source.map(|(repository, commit)| Source { repository, commit }),
            ..manifest(&component, &about)
        };
        manifest.validate().with_path(&self.component)?;
        let signed = Signed::sign(&manifest, &key).doing("cannot sign the code")?;
        let id = signed.open_by(&key.id()).doing("cannot sign the code")?.id;
        let named = format!("{}@{}", self.name, self.version);
        let output = self.output.clone().unwrap_or_else(|| format!("{named}.code").into());
        files::write(&output, &CodeFile::new(signed, component).to_bytes())?;
        let page = Page::new()
            .good(format!("Signed {named} as {}", output.display()))
            .row("what it does", printable(&about.summary))
            .row("component", manifest.component.short())
            .row("id", id.digest().short())
            .next(format!("cloister code approve {} --home OWNER", output.display()));
        let json = json!({
            "file": output,
            "code": named,
            "id": id.to_string(),
            "component": manifest.component.to_hex(),
            "author": key.id().to_string(),
        });
        Ok(Report::done(page, json))
    }
}

/// What a component says of itself, without a source.
pub fn manifest(component: &[u8], about: &Description) -> CodeManifest {
    let parameters = about.parameters.iter().map(|p| Parameter {
        name: p.name.clone(),
        lower: p.minimum,
        upper: p.maximum,
        default: p.default,
    });
    CodeManifest {
        name: about.name.clone(),
        version: about.version.clone(),
        component: component_digest(component),
        length: component.len() as u64,
        world: WORLD.to_owned(),
        parameters: parameters.collect(),
        output: about.model.clone(),
        source: None,
    }
}
