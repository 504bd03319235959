//! A daemon of the world: started, waited for, killed, started again.

use std::{
    fs::{self, File},
    hash::{BuildHasher, Hasher, RandomState},
    net::{SocketAddr, TcpListener, TcpStream},
    path::PathBuf,
    process::{Child, Command},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};

/// How long a daemon may take until it listens, on a busy machine.
const PATIENCE: Duration = Duration::from_mins(1);

/// A running daemon, its output in a file.
#[derive(Debug)]
pub struct Daemon {
    /// Its name.
    pub name: String,
    /// Where its output goes.
    pub log: PathBuf,
    child: Child,
}

impl Daemon {
    /// Starts `command`, appending its output to `log`, and waits until `address`
    /// accepts connections.
    pub fn start(
        name: &str,
        command: &mut Command,
        log: PathBuf,
        address: SocketAddr,
    ) -> Result<Self> {
        let file = File::options().create(true).append(true).open(&log)?;
        let child = command
            .stdin(std::process::Stdio::null())
            .stdout(file.try_clone()?)
            .stderr(file)
            .spawn()
            .with_context(|| format!("cannot start {command:?}"))?;
        let mut daemon = Self { name: name.to_owned(), log, child };
        let deadline = Instant::now() + PATIENCE;
        while TcpStream::connect_timeout(&address, Duration::from_secs(1)).is_err() {
            if let Some(status) = daemon.child.try_wait()? {
                bail!("{name} ended ({status}): {}", daemon.last_words());
            }
            if Instant::now() > deadline {
                bail!("{name} does not listen on {address}: {}", daemon.last_words());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(daemon)
    }

    /// Its process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Ends it at once, as a power cut would.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    fn last_words(&self) -> String {
        let log = fs::read_to_string(&self.log).unwrap_or_default();
        log.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("no output").to_owned()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.kill();
    }
}

/// An address on this machine that nobody listens on. Its port is below those that Linux
/// gives to outgoing connections, so that none has it when its daemon is started again.
pub fn free_address() -> Result<SocketAddr> {
    for _ in 0..1000 {
        let random = RandomState::new().build_hasher().finish();
        let port = 10_000 + u16::try_from(random % 20_000)?;
        if let Ok(listener) = TcpListener::bind(("127.0.0.1", port)) {
            return Ok(listener.local_addr()?);
        }
    }
    bail!("no port between 10000 and 30000 is free")
}
