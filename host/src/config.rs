//! `host.toml`, in the host's home.

use std::{
    fs, io,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use serde::Deserialize;
use thiserror::Error;

use crate::{
    launch::{LaunchError, Launcher, ProcessLauncher},
    relay::Deadlines,
};

/// What a node operator sets.
///
/// ```
/// let config = cloister_host::HostConfig::from_toml(r#"
///     listen = "127.0.0.1:7443"
///
///     [enclave]
///     platform = "simulated"
///     command = "cloister-enclave"
///     vendor = "vendor"
///     workers = 2
///
///     [deadlines]                    # all optional
///     broker-retry-seconds = 120
/// "#).unwrap();
/// assert_eq!(config.listen.port(), 7443);
/// ```
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct HostConfig {
    /// Where the API listens.
    pub listen: SocketAddr,
    /// The enclave to run.
    pub enclave: EnclaveConfig,
    /// How long each exchange may take.
    #[serde(default)]
    pub deadlines: DeadlineConfig,
}

/// `[enclave]`, by platform.
#[derive(Clone, Debug, Deserialize)]
#[serde(tag = "platform", deny_unknown_fields, rename_all = "kebab-case")]
#[non_exhaustive]
pub enum EnclaveConfig {
    /// A separate process, for machines without the hardware. Owners have to allow it
    /// by name in their policies.
    Simulated {
        /// The program `cloister-enclave`: looked up in `PATH`, or, with a slash in it,
        /// relative to the home.
        command: PathBuf,
        /// Folder of the simulated vendor, relative to the home.
        vendor: PathBuf,
        /// Worker processes; by default the enclave decides.
        #[serde(default)]
        workers: Option<u32>,
    },
}

/// `[deadlines]`, in seconds. What is missing has the value of [`Deadlines::default`].
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct DeadlineConfig {
    /// One request to a broker.
    pub broker_seconds: Option<u32>,
    /// A broker that cannot be reached is tried again for this long.
    pub broker_retry_seconds: Option<u32>,
    /// One frame from or to the enclave.
    pub frame_seconds: Option<u32>,
    /// Loading a dataset, for each GiB that it has begun.
    pub load_seconds_per_gib: Option<u32>,
    /// A starting enclave until it answers.
    pub start_seconds: Option<u32>,
    /// A job waits this long for an enclave that is not up.
    pub enclave_seconds: Option<u32>,
}

/// Why `host.toml` cannot be used.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// It cannot be read.
    #[error("{path} cannot be read: {source}")]
    Read {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It is not what it should be.
    #[error("host.toml: {0}")]
    Toml(#[from] toml::de::Error),
    /// A deadline of 0.
    #[error("host.toml: {0} is 0, so nothing could ever succeed: give it at least 1 second")]
    Zero(&'static str),
}

impl HostConfig {
    /// The name of the file in a home.
    pub const FILE: &'static str = "host.toml";

    /// Reads `host.toml` in `home`.
    pub fn read(home: &Path) -> Result<Self, ConfigError> {
        let path = home.join(Self::FILE);
        let text = fs::read_to_string(&path);
        Self::from_toml(&text.map_err(|source| ConfigError::Read { path, source })?)
    }

    /// Reads the text of a `host.toml`.
    pub fn from_toml(text: &str) -> Result<Self, ConfigError> {
        let config: Self = toml::from_str(text)?;
        config.deadlines()?;
        Ok(config)
    }

    /// How long each exchange may take.
    pub fn deadlines(&self) -> Result<Deadlines, ConfigError> {
        let default = Deadlines::default();
        let given = &self.deadlines;
        let seconds = |name, given: Option<u32>, default| match given {
            Some(0) => Err(ConfigError::Zero(name)),
            Some(seconds) => Ok(Duration::from_secs(seconds.into())),
            None => Ok(default),
        };
        Ok(Deadlines {
            broker: seconds("broker-seconds", given.broker_seconds, default.broker)?,
            broker_retry: seconds(
                "broker-retry-seconds",
                given.broker_retry_seconds,
                default.broker_retry,
            )?,
            frame: seconds("frame-seconds", given.frame_seconds, default.frame)?,
            load_per_gib: seconds(
                "load-seconds-per-gib",
                given.load_seconds_per_gib,
                default.load_per_gib,
            )?,
            start: seconds("start-seconds", given.start_seconds, default.start)?,
            enclave: seconds("enclave-seconds", given.enclave_seconds, default.enclave)?,
            late: default.late,
            vacate: default.vacate,
        })
    }

    /// The platform's name, as the enclave has to say it.
    #[must_use]
    pub fn platform(&self) -> &'static str {
        match self.enclave {
            EnclaveConfig::Simulated { .. } => "simulated",
        }
    }

    /// What starts the enclave. `run` is a folder for its socket; `wrapper` is this
    /// very program (see [`crate::launch::become_child`]).
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn launcher(
        &self,
        home: &Path,
        run: &Path,
        wrapper: PathBuf,
    ) -> Result<Launcher, LaunchError> {
        let EnclaveConfig::Simulated { command, vendor, workers } = &self.enclave;
        let in_path = !command.as_os_str().as_encoded_bytes().contains(&b'/');
        let command = if in_path { command.clone() } else { home.join(command) };
        let vendor = home.join(vendor);
        let process = ProcessLauncher::simulated(wrapper, command, &vendor, *workers, run)?;
        Ok(Launcher::Process(process))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "listen = \"127.0.0.1:0\"\n\
        [enclave]\nplatform = \"simulated\"\ncommand = \"e\"\nvendor = \"v\"\n";

    #[test]
    fn deadlines_are_read_and_the_rest_is_the_default() {
        let text = format!("{GOOD}[deadlines]\nbroker-retry-seconds = 3\n");
        let deadlines = HostConfig::from_toml(&text).unwrap().deadlines().unwrap();
        assert_eq!(deadlines.broker_retry, Duration::from_secs(3));
        assert_eq!(deadlines.frame, Deadlines::default().frame);
    }

    #[test]
    fn each_mistake_is_named() {
        let refused = |text: &str| HostConfig::from_toml(text).unwrap_err().to_string();
        assert!(refused("").contains("listen"));
        assert!(refused("listen = \"127.0.0.1:0\"").contains("enclave"));
        assert!(refused(&GOOD.replace("simulated", "magic")).contains("magic"));
        assert!(refused(&GOOD.replace("vendor", "vender")).contains("vende"));
        assert!(refused(&GOOD.replace("listen", "lisen")).contains("lisen"));
        assert!(
            refused(&format!("{GOOD}[deadlines]\nframe-seconds = 0")).contains("frame-seconds")
        );
        assert!(refused(&format!("{GOOD}[deadlines]\nframes = 1")).contains("frames"));
    }
}
