//! `cloister host init`.

use std::path::{Path, PathBuf};

use clap::Args;
use cloister_party::{NewParty, PartyName, Role, ServiceAddress};

use super::{create, machine, made};
use crate::{
    error::{Context, Error, Result},
    files,
    ui::Report,
};

/// Make a host's keys, certificates and enrolment, and its host.toml
#[derive(Args, Debug)]
#[command(after_help = "Example:
  cloister host init node-1 --name node-1 --address https://127.0.0.1:7201 \\
      --enclave cloister-enclave --vendor vendor")]
pub struct HostInit {
    /// A new folder: the host's home
    dir: PathBuf,
    /// What others call this host
    #[arg(long)]
    name: PartyName,
    /// Where others reach this host
    #[arg(long, value_name = "https://HOST:PORT")]
    address: ServiceAddress,
    /// The enclave's program, for the simulated platform; a name without a slash is
    /// looked up in PATH
    #[arg(long, value_name = "PROGRAM")]
    enclave: PathBuf,
    /// The simulated vendor's folder (`cloister-enclave vendor DIR` makes one)
    #[arg(long, value_name = "DIR")]
    vendor: PathBuf,
    /// Worker processes of the enclave [default: the enclave decides]
    #[arg(long, value_name = "N")]
    workers: Option<u32>,
}

impl HostInit {
    /// Makes the host.
    pub fn run(&self) -> Result<Report> {
        let Self { dir, name, address, enclave, vendor, workers } = self;
        let text = config(address, enclave, vendor, *workers)?;
        let home = create(
            dir,
            NewParty {
                role: Role::Host,
                name: name.clone(),
                address: Some(address.clone()),
                population: None,
            },
        )?;
        let path = home.file("host.toml");
        files::write(&path, text.as_bytes())?;
        let page = made(&home)
            .row("settings", path.display())
            .text("Give enrolment.cloister to everyone who works with this host, and enrol them.")
            .next(format!("cloister-host --home {}", dir.display()));
        Ok(Report::done(page, machine(&home)))
    }
}

/// The text of `host.toml`.
fn config(
    address: &ServiceAddress,
    enclave: &Path,
    vendor: &Path,
    workers: Option<u32>,
) -> Result<String> {
    // The address as others see it, unless that is a name: then every interface.
    let listen = match address.ip() {
        Some(ip) => std::net::SocketAddr::new(ip, address.port()).to_string(),
        None if address.is_local() => format!("127.0.0.1:{}", address.port()),
        None => format!("[::]:{}", address.port()),
    };
    // A bare name stays one: the host looks it up in PATH, each time it starts.
    let command = if enclave.components().count() == 1 && !enclave.has_root() {
        value(enclave)?
    } else {
        absolute(enclave)?
    };
    let vendor = absolute(vendor)?;
    let workers = workers.map_or(String::new(), |count| format!("workers = {count}\n"));
    Ok(format!(
        "# Where this host listens.\n\
         listen = {listen:?}\n\
         \n\
         # The enclave that it starts. On the simulated platform that is a process, and\n\
         # whoever runs it can read the data: every receipt will say so.\n\
         [enclave]\n\
         platform = \"simulated\"\n\
         command = {command}\n\
         vendor = {vendor}\n\
         {workers}"
    ))
}

fn absolute(path: &Path) -> Result<String> {
    value(&std::path::absolute(path).with_path(path)?)
}

/// A path as a value of TOML.
fn value(path: &Path) -> Result<String> {
    let text = path.to_str().map(str::to_owned);
    let text = text.ok_or_else(|| Error::usage(format!("{} is not UTF-8", path.display())))?;
    Ok(toml::Value::String(text).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_settings_are_toml() {
        let path = Path::new("/a \"b\"/c");
        for (address, listen) in [
            ("https://127.0.0.1:7201", "127.0.0.1:7201"),
            ("https://localhost:7201", "127.0.0.1:7201"),
            ("https://node.example:7201", "[::]:7201"),
        ] {
            let text = config(&address.parse().unwrap(), path, path, Some(2)).unwrap();
            let table: toml::Table = toml::from_str(&text).unwrap();
            assert_eq!(table["listen"].as_str(), Some(listen));
            assert_eq!(table["enclave"]["command"].as_str(), path.to_str());
            assert_eq!(table["enclave"]["workers"].as_integer(), Some(2));
        }
    }
    #[test]
    fn a_bare_name_is_left_to_path_and_other_programs_are_absolute() {
        let address = "https://127.0.0.1:7201".parse().unwrap();
        let here = std::env::current_dir().unwrap();
        for (given, written) in [
            ("cloister-enclave", "cloister-enclave".into()),
            ("./cloister-enclave", here.join("cloister-enclave")),
            ("bin/cloister-enclave", here.join("bin/cloister-enclave")),
            ("/bin/cloister-enclave", "/bin/cloister-enclave".into()),
        ] {
            let text = config(&address, Path::new(given), Path::new("v"), None).unwrap();
            let table: toml::Table = toml::from_str(&text).unwrap();
            assert_eq!(table["enclave"]["command"].as_str(), written.to_str(), "{given}");
            assert_eq!(table["enclave"]["vendor"].as_str(), here.join("v").to_str());
        }
    }
}
