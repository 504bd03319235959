//! From `logistic@1` to a file of signed code.

use std::path::{Path, PathBuf};

use cloister_protocol::{
    code::{CodeFile, CodeManifest},
    limits,
    signed::Verified,
};

use crate::{
    error::{Context, Error, Result},
    files,
};

/// Signed code that was read and checked against itself.
pub struct Code {
    /// The file's bytes.
    pub bytes: Vec<u8>,
    /// The manifest, verified under the key it names.
    pub manifest: Verified<CodeManifest>,
}

/// Finds the code that a job names: a path if it looks like one, else `NAME@VERSION.code`
/// in `trainers`, beside this program, or in `trainers/` beside it.
pub fn find(name: &str, trainers: Option<&Path>, job: &Path) -> Result<Code> {
    let is_file = Path::new(name).extension().is_some_and(|ending| ending == "code");
    if is_file || name.contains('/') {
        let folder = job.parent().unwrap_or(Path::new(""));
        return read(&folder.join(name));
    }
    let file = format!("{name}.code");
    let folders = match trainers {
        Some(folder) => vec![folder.to_owned()],
        None => first_party(),
    };
    let found = folders.iter().map(|folder| folder.join(&file)).find(|path| path.is_file());
    let Some(path) = found else {
        let looked: Vec<_> = folders.iter().map(|folder| folder.display().to_string()).collect();
        return Err(Error::failed(format!(
            "no code {name:?}: {file} is not in {}; say where with --trainers DIR",
            looked.join(" or ")
        )));
    };
    let code = read(&path)?;
    let manifest = &code.manifest.value;
    let says = format!("{}@{}", manifest.name, manifest.version);
    if says != name {
        let path = path.display();
        return Err(Error::failed(format!("{path} holds {says:?}, not {name:?}: rename it")));
    }
    Ok(code)
}

/// Reads a file of signed code; whose key signed it is for owners to judge.
pub fn read(path: &Path) -> Result<Code> {
    let bytes = files::read(path, limits::COMPONENT + limits::SIGNED_OBJECT as u64)?;
    let file = CodeFile::from_bytes(&bytes).with_path(path)?;
    let manifest = file.manifest.open_by_anyone().with_path(path)?;
    manifest.value.validate().with_path(path)?;
    manifest.value.check_component(&file.component).with_path(path)?;
    Ok(Code { bytes, manifest })
}

fn first_party() -> Vec<PathBuf> {
    let program = std::env::current_exe().ok();
    let folder = program.as_deref().and_then(Path::parent).map(Path::to_owned);
    folder.map_or_else(Vec::new, |folder| vec![folder.join("trainers"), folder])
}

#[cfg(test)]
mod tests {
    use cloister_protocol::{
        Signed, SigningKey,
        code::{WORLD, component_digest},
    };

    use super::*;

    fn code() -> Vec<u8> {
        let manifest = CodeManifest {
            name: "t".into(),
            version: "1".into(),
            component: component_digest(b"component"),
            length: 9,
            world: WORLD.into(),
            parameters: vec![],
            output: "gradient".into(),
            source: None,
        };
        let (key, _) = SigningKey::generate().unwrap();
        CodeFile::new(Signed::sign(&manifest, &key).unwrap(), b"component".to_vec()).to_bytes()
    }

    #[test]
    fn code_is_found_by_name_and_by_path() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("t@1.code"), code()).unwrap();
        std::fs::write(folder.path().join("u@1.code"), code()).unwrap();
        let job = folder.path().join("job.toml");
        assert!(find("t@1", Some(folder.path()), &job).is_ok());
        assert!(find("./t@1.code", None, &job).is_ok());
        let missing = find("v@1", Some(folder.path()), &job).err().unwrap().to_string();
        assert!(missing.contains("--trainers DIR"), "{missing}");
        let other = find("u@1", Some(folder.path()), &job).err().unwrap().to_string();
        assert!(other.contains("holds \"t@1\", not \"u@1\""), "{other}");
    }

    #[test]
    fn altered_code_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("t@1.code");
        let mut bytes = code();
        // The component is at the end.
        *bytes.last_mut().unwrap() ^= 1;
        std::fs::write(&path, bytes).unwrap();
        assert!(read(&path).is_err());
    }
}
