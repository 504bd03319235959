//! Releases that were altered on their way: `cloister verify` denies them.

use std::{fs, path::Path};

use anyhow::{Context, Result, ensure};

use super::{
    bytes::flipped,
    scene::{Scene, complaint},
};

pub async fn cases(scene: &mut Scene) -> Result<()> {
    let ran = scene.honest().await?;
    let folder = scene.world.root.join("released");
    fs::create_dir_all(&folder)?;
    for (number, release) in ran.releases.iter().enumerate() {
        fs::write(folder.join(format!("release-{number:03}.receipt")), &release.receipt)?;
        fs::write(folder.join(format!("release-{number:03}.safetensors")), &release.tensors)?;
    }
    let verdict = scene.world.verify(&folder)?;
    ensure!(verdict["accepted"] == true, "honest releases are not accepted: {verdict}");

    for extension in ["receipt", "safetensors"] {
        let path = folder.join("release-001").with_extension(extension);
        let honest = fs::read(&path)?;
        let count = if extension == "receipt" { 24 } else { 8 };
        for (number, altered) in flipped(&honest, count).enumerate() {
            fs::write(&path, altered)?;
            denied(scene, &folder).with_context(|| format!("flip {number} in the {extension}"))?;
        }
        fs::write(&path, honest)?;
        scene.line(&format!("a byte of a release's {extension}"), "verifier", "DENIED");
    }

    // Whole releases, moved about.
    let (first, second) = (folder.join("release-001"), folder.join("release-002"));
    fs::rename(first.with_extension("safetensors"), folder.join("kept"))?;
    fs::copy(second.with_extension("safetensors"), first.with_extension("safetensors"))?;
    denied(scene, &folder).context("another round's tensors")?;
    scene.line("another round's tensors in a release", "verifier", "DENIED");
    fs::rename(folder.join("kept"), first.with_extension("safetensors"))?;
    fs::remove_file(first.with_extension("receipt"))?;
    denied(scene, &folder).context("a round left out")?;
    scene.line("a round left out", "verifier", "DENIED");
    Ok(())
}

fn denied(scene: &Scene, folder: &Path) -> Result<()> {
    let folder = folder.to_str().context("the folder's path is not UTF-8")?;
    let arguments = ["verify", folder, "--trust", "measurements.toml"];
    let mut command = scene.world.programs.cloister(&scene.world.root, &arguments);
    let why = complaint(&mut command)?;
    ensure!(why.contains("DENIED"), "refused for another reason: {why}");
    Ok(())
}
