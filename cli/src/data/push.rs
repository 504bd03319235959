//! `cloister data push`: a sealed dataset goes to a host.

use std::path::PathBuf;

use clap::Args;
use cloister_protocol::dataset::FileLayout;
use serde_json::json;

use crate::{
    error::{Context, Error, Result},
    files,
    home::{self, OwnerHome},
    host::Host,
    ui::{Page, Report, Ui, printable},
};

/// Upload a sealed dataset to a host
///
/// The host checks that the file is whole and that this owner signed it. It cannot
/// read a row of it.
#[derive(Args, Debug)]
#[command(after_help = "Example:
  cloister data push patients.sealed --home hospital-a --host node-1")]
pub struct Push {
    /// The sealed dataset
    file: PathBuf,
    /// The owner's home
    #[arg(long, value_name = "DIR")]
    home: PathBuf,
    /// The host, by the name it enrolled under
    #[arg(long, value_name = "NAME")]
    host: String,
}

impl Push {
    /// Uploads the file.
    pub fn run(&self, ui: Ui) -> Result<Report> {
        let home = OwnerHome::open(&self.home)?;
        let mut file = files::open(&self.file)?;
        let layout = FileLayout::read(&mut file).with_path(&self.file)?;
        let owner = layout.header.owner;
        if owner != home.key.id() {
            return Err(Error::failed(format!(
                "{}: sealed by owner {}, not by the owner of {}",
                self.file.display(),
                owner.digest().short(),
                self.home.display()
            )));
        }
        let host = Host::new(home::host(&home.home, &self.host)?);
        let length = file.metadata().with_path(&self.file)?.len();
        std::io::Seek::rewind(&mut file).with_path(&self.file)?;
        let bar = ui.bar(length, "uploading");
        let id = host.put_dataset(file, length, |sent| bar.set_position(sent))?;
        bar.finish_and_clear();
        let name = printable(&layout.header.name);
        let page = Page::new()
            .good(format!("{name} is at {}", self.host))
            .row("id", id.get(..16).unwrap_or(&id));
        let json = json!({ "file": self.file, "host": self.host, "id": id });
        Ok(Report::done(page, json))
    }
}
