//! `cloister code build`: from a trainer's source to a component.

use std::path::{Path, PathBuf};

use clap::Args;
use cloister_protocol::{Digest, code::component_digest, limits};
use cloister_sandbox::{
    inspect,
    package::{
        componentize, componentize_any,
        toolchain::{Toolchain, build_guest},
    },
};
use serde_json::json;

use crate::{
    error::{Context, Error, Result},
    files,
    ui::{self, Page, Report, printable},
};

/// Build a trainer's crate to a component
///
/// Compiles the crate for wasm32-unknown-unknown, makes a component of it, and asks it
/// what it is, as an enclave would. Needs `rustup target add wasm32-unknown-unknown`.
/// A core module that another compiler made, of C for instance, becomes a component, too.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  cloister code build
  cloister code build compute/trainers/logistic -o logistic.wasm
  cloister code build compute/trainers/c-logistic/logistic.wasm -o c-logistic.wasm
  cloister code build --check 4b1f...")]
pub struct Build {
    /// The trainer's folder, with its Cargo.toml; or a core module
    #[arg(value_name = "SOURCE", default_value = ".")]
    source: PathBuf,
    /// The component; component.wasm if not said, and none with --check
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Compare with the digest that an owner was shown, all of it
    #[arg(long, value_name = "DIGEST", value_parser = digest)]
    check: Option<Digest>,
    /// Where cargo puts what it builds, and can use again
    #[arg(long, value_name = "DIR", env = "CLOISTER_GUEST_TARGET")]
    target_dir: Option<PathBuf>,
}

/// A component, and what made its code.
struct Built {
    component: Vec<u8>,
    /// Not known of a core module.
    compiler: Option<String>,
}

impl Build {
    /// Builds the component.
    pub fn run(&self) -> Result<Report> {
        let built = if self.source.is_file() { self.wrap()? } else { self.compile()? };
        let about = inspect(&built.component).with_path(&self.source)?;
        let output = match (&self.output, &self.check) {
            (Some(output), _) => Some(output.as_path()),
            (None, None) => Some(Path::new("component.wasm")),
            (None, Some(_)) => None,
        };
        if let Some(output) = output {
            files::write(output, &built.component)?;
        }
        let (digest, size) = (component_digest(&built.component), built.component.len() as u64);
        let page = match output {
            Some(output) => Page::new().good(format!("Built {}", output.display())),
            None => Page::new().title(format!("Built {}", self.source.display())),
        };
        let page = page
            .row("name", format!("{}, {}", printable(&about.name), printable(&about.version)))
            .row("what it does", printable(&about.summary))
            .row("size", ui::bytes(size))
            .row_if("compiler", built.compiler.as_ref())
            .row("digest", digest);
        let mut json = json!({
            "file": output,
            "name": about.name,
            "component": digest.to_hex(),
            "bytes": size,
            "compiler": built.compiler,
        });
        let Some(shown) = &self.check else {
            let next = output.map_or(String::new(), |output| next(output, &about.name));
            return Ok(Report::done(page.next(next), json));
        };
        let same = digest == *shown;
        json["expected"] = json!(shown.to_hex());
        json["same"] = json!(same);
        let page = if same {
            let what = if built.compiler.is_some() { "this source" } else { "this core module" };
            page.good(format!("SAME: {what} gives the component with the digest that was shown"))
        } else {
            differ(page, shown, built.compiler.as_deref())
        };
        Ok(Report { page, json, holds: same })
    }

    /// Compiles a crate.
    fn compile(&self) -> Result<Built> {
        let dir = std::path::absolute(&self.source).with_path(&self.source)?;
        if !dir.join("Cargo.toml").is_file() {
            return Err(Error::usage(format!(
                "{}: no Cargo.toml there; give the folder of a trainer's crate, or a core module",
                self.source.display()
            )));
        }
        let target = self.target_dir.clone().unwrap_or_else(|| dir.join("target/cloister"));
        let target = std::path::absolute(&target).with_path(&target)?;
        let module = build_guest(&dir, &target).map_err(Error::failed)?;
        let module = files::read(&module, limits::COMPONENT)?;
        let component = componentize(&module).with_path(&self.source)?;
        let compiler = Toolchain::find().ok().map(|toolchain| toolchain.compiler());
        Ok(Built { component, compiler })
    }

    /// Makes a component of what another compiler made.
    fn wrap(&self) -> Result<Built> {
        let module = files::read(&self.source, limits::COMPONENT)?;
        let component = componentize_any(&module).with_path(&self.source)?;
        Ok(Built { component, compiler: None })
    }
}

/// The page of a component that is another one.
fn differ(page: Page, shown: &Digest, compiler: Option<&str>) -> Page {
    let compiler = compiler.unwrap_or("the one that made the core module");
    page.row("was shown", shown)
        .bad("DIFFERENT: this is not the component with the digest that was shown")
        .text("What can differ, the likely first:")
        .row("source", "another commit, or changes that are not committed; Cargo.lock is source")
        .row("compiler", format!("another version, or another build of it; here {compiler}"))
        .row("cloister", format!("another version; here {}", env!("CARGO_PKG_VERSION")))
        .row("place", "a dependency by path that lies outside the trainer's workspace")
}

/// All of a digest: who can choose the component can choose one whose beginning is the same.
fn digest(text: &str) -> std::result::Result<Digest, String> {
    Digest::from_hex(text).ok_or_else(|| {
        "give all 128 hexadecimal digits, as `cloister show NAME@VERSION.code` and `cloister code \
         approve` print them"
            .into()
    })
}

fn next(output: &Path, name: &str) -> String {
    let (output, name) = (output.display(), printable(name));
    format!("cloister code sign {output} --name {name} --version 1 --home AUTHOR")
}
