//! The simulated platform: a throw-away vendor vouches for this very program file.
//!
//! It protects nothing, for whoever holds the vendor's directory can sign what they
//! like. What it gives is the production path: real certificates, real documents, and a
//! PCR0 that changes with every byte of the program.

use std::{
    fs,
    io::Write as _,
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::Path,
    time::{Duration, SystemTime},
};

use cloister_simulated::{LEAF_LIFETIME, Pcrs, UnixTime, Vendor, pcr};
use zeroize::Zeroizing;

use super::{Attester, AttesterError};

const SECRET: &str = "vendor.pem";
const ROOT: &str = "root.pem";
/// What a real image measures apart from the program: here only its version.
const KERNEL: &[u8] = concat!("cloister-enclave kernel ", env!("CARGO_PKG_VERSION")).as_bytes();
const APPLICATION: &[u8] =
    concat!("cloister-enclave application ", env!("CARGO_PKG_VERSION")).as_bytes();

/// Signs evidence with a simulated vendor's key.
pub struct Simulated {
    vendor: Vendor,
    pcrs: Pcrs,
}

impl Simulated {
    /// An attester for this program, under the vendor kept in `directory`.
    ///
    /// # Errors
    ///
    /// [`AttesterError`] if the vendor or the program cannot be read.
    pub fn open(directory: &Path) -> Result<Self, AttesterError> {
        let path = directory.join(SECRET);
        let text = fs::read_to_string(&path).map_err(read(&path))?;
        let vendor = Vendor::from_pem(&Zeroizing::new(text))?;
        Ok(Self { vendor, pcrs: measure()? })
    }

    /// Makes a vendor and keeps it in a new or empty `directory`: `vendor.pem`, secret,
    /// and `root.pem`. One that is there already is left alone.
    ///
    /// # Errors
    ///
    /// [`AttesterError`].
    pub fn create(directory: &Path) -> Result<(), AttesterError> {
        let path = directory.join(SECRET);
        if path.exists() {
            return Ok(());
        }
        let vendor = Vendor::generate(now()?)?;
        let write = |path: &Path, mode, text: &str| {
            let mut options = fs::OpenOptions::new();
            let mut file = options.write(true).create(true).truncate(true).mode(mode).open(path)?;
            file.write_all(text.as_bytes())?;
            file.sync_all()
        };
        let mut builder = fs::DirBuilder::new();
        builder.recursive(true).mode(0o700).create(directory).map_err(read(directory))?;
        let root = directory.join(ROOT);
        write(&root, 0o644, &vendor.root_pem()).map_err(read(&root))?;
        // The secret last and under its name at once: a vendor is either whole or not there.
        let temporary = directory.join(".vendor.pem.new");
        write(&temporary, 0o600, &vendor.to_pem()).map_err(read(&temporary))?;
        fs::rename(&temporary, &path).map_err(read(&path))
    }

    /// The reference values of this program, as an owner's policy takes them: TOML.
    #[must_use]
    pub fn measurements(&self) -> String {
        use std::fmt::Write as _;
        let version = env!("CARGO_PKG_VERSION");
        let mut text = format!(
            "[[simulated]]\nname = \"cloister-enclave {version}, simulated\"\nroot = \"\"\"\n{}\"\"\"\n\n[simulated.pcrs]\n",
            self.vendor.root_pem()
        );
        for (index, value) in &self.pcrs {
            let _ = write!(text, "{index} = \"");
            for byte in value {
                let _ = write!(text, "{byte:02x}");
            }
            text.push_str("\"\n");
        }
        text
    }
}

impl Attester for Simulated {
    fn platform(&self) -> &'static str {
        "simulated"
    }

    fn evidence(&self, binding: &[u8; 64]) -> Result<Vec<u8>, AttesterError> {
        let now = now()?;
        // A leaf for each document, as if the hypervisor had just made it.
        let leaf = self.vendor.leaf(now, LEAF_LIFETIME)?;
        Ok(leaf.document(binding, None, &self.pcrs, now.as_secs() * 1000)?)
    }
}

/// PCR0 of this program's bytes, and two fixed ones.
fn measure() -> Result<Pcrs, AttesterError> {
    let program = Path::new("/proc/self/exe");
    let bytes = fs::read(program).map_err(read(program))?;
    Ok(Pcrs::from([(0, pcr(&bytes)), (1, pcr(KERNEL)), (2, pcr(APPLICATION))]))
}

fn now() -> Result<UnixTime, AttesterError> {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let seconds = now.map_err(|_| AttesterError::Clock)?.as_secs();
    Ok(UnixTime::since_unix_epoch(Duration::from_secs(seconds)))
}

fn read(path: &Path) -> impl Fn(std::io::Error) -> AttesterError {
    let what = path.display().to_string();
    move |source| AttesterError::Read { what: what.clone(), source }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_vendor_is_kept_secret_and_made_once() {
        use std::os::unix::fs::PermissionsExt as _;
        let home = tempfile::tempdir().unwrap();
        let directory = home.path().join("vendor");
        assert!(matches!(Simulated::open(&directory), Err(AttesterError::Read { .. })));
        Simulated::create(&directory).unwrap();
        let secret = fs::read(directory.join(SECRET)).unwrap();
        let mode = fs::metadata(directory.join(SECRET)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        Simulated::create(&directory).unwrap();
        assert_eq!(fs::read(directory.join(SECRET)).unwrap(), secret);
        let simulated = Simulated::open(&directory).unwrap();
        let binding = [0x5a; 64];
        let evidence = simulated.evidence(&binding).unwrap();
        assert!(evidence.windows(64).any(|window| window == binding));
        assert!(evidence.windows(48).any(|window| window == simulated.pcrs[&0]));
        assert!(simulated.measurements().contains("[simulated.pcrs]\n0 = \""));
    }
}
