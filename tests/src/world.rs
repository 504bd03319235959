//! Owners, an author, an orchestrator and a host, set up as a person would.

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result};

use crate::{
    daemon::{Daemon, free_address},
    programs::{Programs, output},
};

/// The host's name in every home.
pub const HOST: &str = "node-1";
/// The orchestrator's name.
pub const LAB: &str = "lab";

/// One data owner and its broker.
#[derive(Debug)]
pub struct Owner {
    /// Its name, and its home's folder.
    pub name: String,
    /// Its home.
    pub home: PathBuf,
    /// Its broker's address.
    pub address: SocketAddr,
    /// Its sealed dataset.
    pub sealed: PathBuf,
    /// Its broker, while it runs.
    pub broker: Option<Daemon>,
}

/// Everything, under one folder.
#[derive(Debug)]
pub struct World {
    /// The folder.
    pub root: PathBuf,
    /// The programs.
    pub programs: Programs,
    /// The owners.
    pub owners: Vec<Owner>,
    /// The host's address.
    pub host_address: SocketAddr,
    /// The host daemon, while it runs.
    pub host: Option<Daemon>,
    /// Called with each command line before it is run.
    announce: fn(&str),
}

impl World {
    /// Makes homes for these owners, an author, an orchestrator and a host, and a
    /// simulated vendor; everyone enrols whom they have to know.
    pub fn create(root: &Path, owners: &[&str], announce: fn(&str)) -> Result<Self> {
        fs::create_dir_all(root.join("logs"))?;
        let host_address = free_address()?;
        let mut world = Self {
            root: root.to_owned(),
            programs: Programs::find()?,
            owners: Vec::new(),
            host_address,
            host: None,
            announce,
        };
        for name in owners {
            let address = free_address()?;
            let url = format!("https://{address}");
            world.cloister(&[
                "owner",
                "init",
                name,
                "--name",
                name,
                "--population",
                "patients",
                "--address",
                &url,
            ])?;
            world.owners.push(Owner {
                name: (*name).to_owned(),
                home: root.join(name),
                address,
                sealed: root.join(format!("{name}.sealed")),
                broker: None,
            });
        }
        world.cloister(&["author", "init", "author", "--name", "author"])?;
        world.cloister(&["orchestrator", "init", LAB, "--name", LAB])?;
        world.enclave(&["vendor", "vendor"])?;
        let enclave = world.programs.enclave();
        let url = format!("https://{host_address}");
        world.cloister(&[
            "host",
            "init",
            HOST,
            "--name",
            HOST,
            "--address",
            &url,
            "--vendor",
            "vendor",
            "--enclave",
            path(&enclave)?,
        ])?;
        let measurements = world.enclave(&["measure", "--vendor", "vendor"])?;
        fs::write(root.join("measurements.toml"), measurements)?;
        world.enrol_everyone()?;
        Ok(world)
    }

    fn enrol_everyone(&self) -> Result<()> {
        let enrol = |of: &str, by: &str| {
            self.cloister(&["enrol", &format!("{of}/enrolment.cloister"), "--home", by]).map(drop)
        };
        for owner in &self.owners {
            enrol(&owner.name, HOST)?;
            enrol(HOST, &owner.name)?;
        }
        enrol(LAB, HOST)?;
        enrol(HOST, LAB)
    }

    /// Completes, checks and signs each owner's policy: this enclave, these owners,
    /// this orchestrator; `edit` may change the text before.
    pub fn sign_policies(&self, edit: &dyn Fn(&str, String) -> String) -> Result<()> {
        for owner in &self.owners {
            let home = owner.name.as_str();
            for other in &self.owners {
                if other.name != owner.name {
                    let enrolment = format!("{}/enrolment.cloister", other.name);
                    self.cloister(&["policy", "allow-owner", &enrolment, "--home", home])?;
                }
            }
            let enrolment = format!("{LAB}/enrolment.cloister");
            self.cloister(&["policy", "allow-orchestrator", &enrolment, "--home", home])?;
            self.cloister(&[
                "policy",
                "trust-image",
                "measurements.toml",
                "--allow-simulated",
                "--home",
                home,
            ])?;
            let file = owner.home.join("policy.toml");
            fs::write(&file, edit(home, fs::read_to_string(&file)?))?;
            self.cloister(&["policy", "check", "--home", home])?;
            self.cloister(&["policy", "sign", "--home", home])?;
        }
        Ok(())
    }

    /// Seals each owner's table; the file of one that was sealed before is replaced.
    pub fn seal(&self, table: &dyn Fn(&str) -> PathBuf, dataset: &Path) -> Result<()> {
        for owner in &self.owners {
            let table = table(&owner.name);
            let mut arguments = vec![
                "data",
                "seal",
                path(&table)?,
                "--dataset",
                path(dataset)?,
                "--home",
                &owner.name,
                "-o",
                path(&owner.sealed)?,
            ];
            if owner.sealed.exists() {
                arguments.push("--force");
            }
            self.cloister(&arguments)?;
        }
        Ok(())
    }

    /// Signs a component as the author; the code file is `NAME@1.code`.
    pub fn sign_code(&self, component: &Path, name: &str) -> Result<PathBuf> {
        self.cloister(&[
            "code",
            "sign",
            path(component)?,
            "--name",
            name,
            "--version",
            "1",
            "--home",
            "author",
        ])?;
        Ok(self.root.join(format!("{name}@1.code")))
    }

    /// Each owner approves the code.
    pub fn approve(&self, code: &Path) -> Result<()> {
        for owner in &self.owners {
            self.cloister(&["code", "approve", path(code)?, "--home", &owner.name, "--yes"])?;
        }
        Ok(())
    }

    /// Starts the brokers and the host, unless they run.
    pub fn start(&mut self) -> Result<()> {
        for index in 0..self.owners.len() {
            self.start_broker(index)?;
        }
        self.start_host()
    }

    /// Starts one owner's broker, unless it runs.
    pub fn start_broker(&mut self, index: usize) -> Result<()> {
        let owner = &mut self.owners[index];
        if owner.broker.is_some() {
            return Ok(());
        }
        let name = format!("broker-{}", owner.name);
        let mut command = Command::new(self.programs.broker());
        command.arg("--home").arg(&owner.home).args(["--listen", &owner.address.to_string()]);
        let log = self.root.join("logs").join(format!("{name}.log"));
        owner.broker = Some(Daemon::start(&name, &mut command, log, owner.address)?);
        Ok(())
    }

    /// Starts the host, unless it runs.
    pub fn start_host(&mut self) -> Result<()> {
        if self.host.is_none() {
            let mut command = Command::new(self.programs.host());
            command.arg("--home").arg(self.root.join(HOST));
            let log = self.root.join("logs/host.log");
            self.host = Some(Daemon::start("host", &mut command, log, self.host_address)?);
        }
        Ok(())
    }

    /// Each owner brings its sealed dataset to the host.
    pub fn push(&self) -> Result<()> {
        for owner in &self.owners {
            self.cloister(&[
                "data",
                "push",
                path(&owner.sealed)?,
                "--home",
                &owner.name,
                "--host",
                HOST,
            ])?;
        }
        Ok(())
    }

    /// The command that runs the job in `file` and leaves its releases in `results`.
    pub fn run(&self, file: &Path, results: &Path) -> Result<Command> {
        let arguments = [
            "run",
            path(file)?,
            "--home",
            LAB,
            "--host",
            HOST,
            "--trainers",
            path(&self.root)?,
            "-o",
            path(results)?,
        ];
        (self.announce)(&line("cloister", &arguments));
        Ok(self.programs.cloister(&self.root, &arguments))
    }

    /// Verifies the releases in `results` against this world's measurements and parties.
    pub fn verify(&self, results: &Path) -> Result<serde_json::Value> {
        let printed = self.verified(results, &["--json"])?;
        serde_json::from_str(&printed).context("`cloister verify --json` did not print JSON")
    }

    /// The same, as `cloister verify` prints it with these options.
    pub fn verified(&self, results: &Path, options: &[&str]) -> Result<String> {
        let enrolment = |of: &str| format!("{of}/enrolment.cloister");
        let owners: Vec<_> = self.owners.iter().map(|owner| enrolment(&owner.name)).collect();
        let (lab, author) = (enrolment(LAB), enrolment("author"));
        let mut arguments = vec!["verify", path(results)?, "--trust", "measurements.toml"];
        arguments.extend(owners.iter().flat_map(|owner| ["--owner", owner.as_str()]));
        arguments.extend(["--orchestrator", &lab, "--author", &author]);
        arguments.extend(options);
        self.cloister(&arguments)
    }

    /// Runs `cloister` with these arguments in the world's folder.
    pub fn cloister(&self, arguments: &[&str]) -> Result<String> {
        (self.announce)(&line("cloister", arguments));
        output(&mut self.programs.cloister(&self.root, arguments))
    }

    /// Runs `cloister-enclave` with these arguments in the world's folder.
    pub fn enclave(&self, arguments: &[&str]) -> Result<String> {
        (self.announce)(&line("cloister-enclave", arguments));
        let mut command = Command::new(self.programs.enclave());
        output(command.current_dir(&self.root).args(arguments))
    }
}

fn line(program: &str, arguments: &[&str]) -> String {
    format!("{program} {}", arguments.join(" "))
}

fn path(path: &Path) -> Result<&str> {
    path.to_str().with_context(|| format!("{} is not UTF-8", path.display()))
}
