//! `cloister owner|orchestrator|author|host init`: becoming a party.

mod host;

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use cloister_broker::{
    Ledger, Vault,
    policy::{Template, template},
};
use cloister_party::{Home, NewParty, PartyName, Role, ServiceAddress};
use cloister_protocol::KeyId;
use jiff::{ToSpan, Zoned};
use serde_json::{Value, json};

use crate::{
    enrol::fingerprint,
    error::{Context, Error, Result},
    files,
    ui::{Page, Report},
};

/// The policy as its owner writes it.
const POLICY: &str = "policy.toml";

/// Work of an owner that is not about one table.
#[derive(Debug, Subcommand)]
pub enum Owner {
    Init(OwnerInit),
}

/// Work of an orchestrator that is not about one job.
#[derive(Debug, Subcommand)]
pub enum Orchestrator {
    Init(OrchestratorInit),
}

/// Work of an author that is not about one component.
#[derive(Debug, Subcommand)]
pub enum Author {
    Init(AuthorInit),
}

/// Work of a host's operator.
#[derive(Debug, Subcommand)]
pub enum Host {
    Init(host::HostInit),
}

/// Make an owner's keys, certificates and enrolment, its ledger, and the template of a policy
#[derive(Args, Debug)]
#[command(after_help = "Example:
  cloister owner init hospital-a --name hospital-a --population patients \\
      --address https://127.0.0.1:7101")]
pub struct OwnerInit {
    /// A new folder: the owner's home. Keep it private, and back it up
    dir: PathBuf,
    /// What others call this owner
    #[arg(long)]
    name: PartyName,
    /// Whom the data is about; the privacy budget belongs to them
    #[arg(long)]
    population: String,
    /// Where hosts reach this owner's broker
    #[arg(long, value_name = "https://HOST:PORT")]
    address: ServiceAddress,
}

/// Make an orchestrator's keys, certificates and enrolment
#[derive(Args, Debug)]
#[command(after_help = "Example:
  cloister orchestrator init lab --name lab")]
pub struct OrchestratorInit {
    /// A new folder: the orchestrator's home
    dir: PathBuf,
    /// What others call this orchestrator
    #[arg(long)]
    name: PartyName,
}

/// Make an author's keys and enrolment
#[derive(Args, Debug)]
#[command(after_help = "Example:
  cloister author init author --name acme")]
pub struct AuthorInit {
    /// A new folder: the author's home
    dir: PathBuf,
    /// What others call this author
    #[arg(long)]
    name: PartyName,
}

impl Owner {
    /// Runs the command.
    pub fn run(&self) -> Result<Report> {
        let Self::Init(OwnerInit { dir, name, population, address }) = self;
        // A year from now: long enough to work with, and then somebody looks again.
        let last = Zoned::now().date().checked_add(1.year()).doing("the system's clock")?;
        let party = NewParty {
            role: Role::Owner,
            name: name.clone(),
            address: Some(address.clone()),
            population: Some(population.clone()),
        };
        // The one place where a ledger is made: an owner without one could be given a fresh
        // budget, so home and ledger come into being together.
        let furnish = |new: &Path, owner: &KeyId| {
            let text = template(&Template {
                owner: *owner,
                name: name.as_str(),
                population,
                not_after: &last.to_string(),
            });
            files::write(&new.join(POLICY), text.as_bytes())?;
            Ledger::create(&Vault::new(new).ledger(), *owner)?;
            Ok(())
        };
        let home = Home::create_with(dir, &party, furnish).map_err(Error::failed)?;
        let policy = home.file(POLICY);
        let page = made(&home)
            .row("population", population)
            .row("policy", format!("{}, to be edited", policy.display()))
            .text("Give enrolment.cloister to the host, and to owners and orchestrators you work with.")
            .next(format!("cloister enrol HOST/enrolment.cloister --home {}", dir.display()));
        let mut json = machine(&home);
        json["population"] = json!(population);
        json["policy"] = json!(policy);
        Ok(Report::done(page, json))
    }
}

impl Orchestrator {
    /// Runs the command.
    pub fn run(&self) -> Result<Report> {
        let Self::Init(OrchestratorInit { dir, name }) = self;
        let home = create(dir, plain(Role::Orchestrator, name))?;
        let page = made(&home)
            .text("Give enrolment.cloister to the host and to the owners whose data you ask for.")
            .next(format!("cloister enrol HOST/enrolment.cloister --home {}", dir.display()));
        Ok(Report::done(page, machine(&home)))
    }
}

impl Author {
    /// Runs the command.
    pub fn run(&self) -> Result<Report> {
        let Self::Init(AuthorInit { dir, name }) = self;
        let home = create(dir, plain(Role::Author, name))?;
        let next = format!(
            "cloister code sign component.wasm --name NAME --version 1 --home {}",
            dir.display()
        );
        Ok(Report::done(made(&home).next(next), machine(&home)))
    }
}

impl Host {
    /// Runs the command.
    pub fn run(&self) -> Result<Report> {
        let Self::Init(init) = self;
        init.run()
    }
}

fn plain(role: Role, name: &PartyName) -> NewParty {
    NewParty { role, name: name.clone(), address: None, population: None }
}

fn create(dir: &Path, party: NewParty) -> Result<Home> {
    Home::create(dir, &party).map_err(Error::failed)
}

/// The page of a new home.
fn made(home: &Home) -> Page {
    Page::new()
        .good(format!("{} {} lives in {}", home.role(), home.name(), home.path().display()))
        .row("fingerprint", fingerprint(home.id()))
        .row("enrolment", home.file("enrolment.cloister").display())
}

fn machine(home: &Home) -> Value {
    json!({
        "home": home.path(),
        "role": home.role().to_string(),
        "name": home.name().to_string(),
        "key": home.id().to_string(),
        "enrolment": home.file("enrolment.cloister"),
    })
}
