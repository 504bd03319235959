//! What is on a host's disk, checked against the names it has there.

use std::{
    fs::{self, File},
    io::{Read, Seek, SeekFrom},
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, ensure};
use cloister_protocol::{Digest, code::CodeFile, dataset::FileLayout};

/// How many whole files of each kind there are.
#[derive(Clone, Copy, Debug, Default)]
pub struct Holdings {
    /// Sealed datasets.
    pub datasets: usize,
    /// Files of code.
    pub code: usize,
    /// Public sets.
    pub public_sets: usize,
    /// Receipts and files of tensors.
    pub releases: usize,
}

/// Every stored file is whatever its name says, to the last byte, and nothing is left
/// where files are received.
pub fn check(store: &Path) -> Result<Holdings> {
    let incoming = files(&store.join("incoming"))?;
    ensure!(incoming.is_empty(), "half-received files are left: {incoming:?}");
    let check = |folder: &str, name: fn(&Path) -> Result<String>| {
        let files = files(&store.join(folder))?;
        for path in &files {
            let found = name(path).with_context(|| path.display().to_string())?;
            ensure!(path.ends_with(&found), "{} holds what is called {found}", path.display());
        }
        Ok(files.len())
    };
    Ok(Holdings {
        datasets: check("datasets", dataset)?,
        code: check("code", code)?,
        public_sets: check("public-sets", |path| {
            Ok(Digest::of("public-set", &[&fs::read(path)?]).to_hex())
        })?,
        releases: check("releases", |path| Ok(blake3::hash(&fs::read(path)?).to_string()))?,
    })
}

fn dataset(path: &Path) -> Result<String> {
    let mut file = File::open(path)?;
    let layout = FileLayout::read(&mut file)?;
    let manifest = layout.manifest.open_by(&layout.header.owner)?;
    let mut body = Vec::new();
    file.seek(SeekFrom::Start(layout.body_offset))?;
    file.take(layout.body_length).read_to_end(&mut body)?;
    ensure!(blake3::hash(&body).as_bytes() == &*manifest.value.body.0, "the body's hash differs");
    Ok(manifest.id.to_string())
}

fn code(path: &Path) -> Result<String> {
    let file = CodeFile::from_bytes(&fs::read(path)?)?;
    let manifest = file.manifest.open_by_anyone()?;
    manifest.value.check_component(&file.component)?;
    Ok(manifest.id.to_string())
}

/// All files below a folder, at any depth.
pub fn files(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).with_context(|| folder.display().to_string())? {
        let entry = entry?;
        match entry.file_type()? {
            kind if kind.is_dir() => found.extend(files(&entry.path())?),
            kind if kind.is_file() => found.push(entry.path()),
            _ => {}
        }
    }
    found.sort();
    Ok(found)
}

/// Files below a folder whose names say that they are not finished.
pub fn unfinished(folder: &Path) -> Result<Vec<PathBuf>> {
    let is_unfinished = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name.starts_with(".new-") || name.starts_with(".tmp") || name.ends_with("-journal")
    };
    Ok(files(folder)?.into_iter().filter(is_unfinished).collect())
}
