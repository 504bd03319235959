//! `cloister code new`: a trainer's project to begin with.
//!
//! The project holds a copy of the SDK and of the world, as this program knows them: it
//! needs no checkout of ours, and everything that decides the component is inside its
//! folder. So the digest does not depend on where the folder is.

use std::{
    fs,
    io::ErrorKind,
    path::{Path, PathBuf},
};

use clap::Args;
use cloister_sandbox::package::WIT;
use serde_json::json;

use crate::{
    error::{Context, Error, Result},
    files,
    ui::{Page, Report},
};

/// Make a trainer's project, which can be built right away
///
/// Makes the folder NAME: a small trainer with comments, a made-up dataset to try it on, a
/// copy of the SDK, and a Cargo.lock, because builds are locked.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  cloister code new my-trainer
  cloister code new my-trainer --sdk cloister/compute/sdk")]
pub struct New {
    /// The trainer's name, and that of its folder: letters, digits, `-` and `_`
    name: String,
    /// Use the SDK in this folder instead of a copy; the digest then depends on its place
    #[arg(long, value_name = "DIR")]
    sdk: Option<PathBuf>,
}

/// The SDK's sources.
const SDK: &[(&str, &str)] = &[
    ("lib.rs", include_str!("../../../compute/sdk/src/lib.rs")),
    ("allocator.rs", include_str!("../../../compute/sdk/src/allocator.rs")),
    ("describe.rs", include_str!("../../../compute/sdk/src/describe.rs")),
    ("params.rs", include_str!("../../../compute/sdk/src/params.rs")),
    ("tensor.rs", include_str!("../../../compute/sdk/src/tensor.rs")),
];

const MANIFEST: &str = include_str!("../../templates/trainer/Cargo.toml.in");
const LOCK: &str = include_str!("../../templates/trainer/Cargo.lock.in");
const SDK_MANIFEST: &str = include_str!("../../templates/trainer/sdk.toml.in");
const TRAINER: &str = include_str!("../../templates/trainer/lib.rs");
const DATASET: &str = include_str!("../../templates/trainer/dataset.toml.in");
const README: &str = include_str!("../../templates/trainer/README.md.in");
const IGNORED: &str = include_str!("../../templates/trainer/gitignore");

/// Where the project keeps its copy of the SDK. The world lies beside it, in `wit`.
const COPY: &str = "cloister/sdk";

impl New {
    /// Makes the project.
    pub fn run(&self) -> Result<Report> {
        let name = &self.name;
        check(name).map_err(|why| Error::usage(format!("the name {name:?} {why}")))?;
        let sdk = self.sdk.as_deref().map(Sdk::at).transpose()?.unwrap_or(Sdk::Copy);
        let folder = Path::new(name);
        fs::create_dir(folder).map_err(|error| match error.kind() {
            ErrorKind::AlreadyExists => {
                Error::failed(format!("{name} is there already; choose another name"))
            }
            _ => Error::failed(format!("cannot make the folder {name}: {error}")),
        })?;
        let files = project(name, &sdk);
        if let Err(error) = write(folder, &files) {
            // It was made above, so nothing in it is anybody's.
            let _ = fs::remove_dir_all(folder);
            return Err(error);
        }
        let page = Page::new()
            .good(format!("Made {name}"))
            .row("trainer", format!("{name}/src/lib.rs: least squares, to be changed"))
            .row("made-up dataset", format!("{name}/dataset.toml"))
            .row("SDK", sdk.told(name))
            .next(format!("cloister code build {name} -o {name}.wasm"));
        let names: Vec<_> = files.iter().map(|(path, _)| path.as_str()).collect();
        let json = json!({ "folder": name, "files": names, "sdk": sdk.path() });
        Ok(Report::done(page, json))
    }
}

/// Where a project has its SDK from.
enum Sdk {
    /// A copy inside the project.
    Copy,
    /// A folder that the author named: as the project's manifest says it, and its version.
    Folder { path: String, version: String },
}

impl Sdk {
    fn at(folder: &Path) -> Result<Self> {
        let manifest = folder.join("Cargo.toml");
        let text = files::read_text(&manifest)?;
        let table: toml::Table = text.parse().with_path(&manifest)?;
        let package = table.get("package");
        let of = |key| package.and_then(|package| package.get(key)).and_then(toml::Value::as_str);
        if of("name") != Some("cloister-compute") {
            return Err(Error::failed(format!(
                "{}: not the SDK, the crate `cloister-compute`",
                folder.display()
            )));
        }
        // A manifest names it as seen from the project's folder.
        let path = if folder.is_absolute() { folder.into() } else { Path::new("..").join(folder) };
        let path =
            path.to_str().filter(|path| !path.contains(['"', '\\', '\n'])).ok_or_else(|| {
                Error::usage(format!("{}: cannot be written into a manifest", folder.display()))
            })?;
        // One that inherits its version is of the workspace that this program is of.
        let version = of("version").unwrap_or(env!("CARGO_PKG_VERSION"));
        Ok(Self::Folder { path: path.into(), version: version.into() })
    }

    fn path(&self) -> &str {
        match self {
            Self::Copy => COPY,
            Self::Folder { path, .. } => path,
        }
    }

    fn version(&self) -> &str {
        match self {
            Self::Copy => env!("CARGO_PKG_VERSION"),
            Self::Folder { version, .. } => version,
        }
    }

    fn told(&self, name: &str) -> String {
        match self {
            Self::Copy => format!("{name}/{COPY}, a copy of version {}", self.version()),
            Self::Folder { path, .. } => format!("{path}; the digest depends on its place"),
        }
    }

    /// What the project's README says about it.
    fn note(&self) -> String {
        match self {
            Self::Copy => format!(
                "The SDK in `{COPY}` is a copy, of version {}. A later `cloister code new` copies a \
                 later one.",
                self.version()
            ),
            Self::Folder { path, .. } => format!(
                "The SDK is not in this folder but at `{path}`.\nThe digest depends on the place \
                 of that one: before you sign, make a project without `--sdk`."
            ),
        }
    }
}

/// Paths and texts of a project.
fn project(name: &str, sdk: &Sdk) -> Vec<(String, String)> {
    let fill = |text: &str| {
        text.replace("{{name}}", name)
            .replace("{{sdk}}", sdk.path())
            .replace("{{sdk-note}}", &sdk.note())
            .replace("{{version}}", sdk.version())
    };
    let mut files = vec![
        ("Cargo.toml".to_owned(), fill(MANIFEST)),
        ("Cargo.lock".to_owned(), lock(name, &fill(LOCK))),
        ("src/lib.rs".to_owned(), fill(TRAINER)),
        ("dataset.toml".to_owned(), fill(DATASET)),
        ("README.md".to_owned(), fill(README)),
        (".gitignore".to_owned(), fill(IGNORED)),
    ];
    if let Sdk::Copy = sdk {
        files.push((format!("{COPY}/Cargo.toml"), fill(SDK_MANIFEST)));
        // Not filled: they are the bytes of our own.
        let sources =
            SDK.iter().map(|(file, text)| (format!("{COPY}/src/{file}"), (*text).to_owned()));
        files.extend(sources);
        files.push(("cloister/wit/world.wit".to_owned(), WIT.to_owned()));
    }
    files
}

const PACKAGE: &str = "\n[[package]]\n";

/// The lock file with the project's own package, where cargo would put it.
fn lock(name: &str, template: &str) -> String {
    let mut parts = template.trim_end().split(PACKAGE).map(str::trim_end);
    let head = parts.next().unwrap_or_default();
    let own = format!(
        "name = \"{name}\"\nversion = \"0.1.0\"\ndependencies = [\n \"cloister-compute\",\n]"
    );
    let mut packages: Vec<&str> = parts.chain([own.as_str()]).collect();
    packages.sort_by_key(|package| locked_name(package));
    let mut text = format!("{head}\n");
    for package in packages {
        text.push_str(PACKAGE);
        text.push_str(package);
        text.push('\n');
    }
    text
}

fn locked_name(package: &str) -> &str {
    package.strip_prefix("name = \"").and_then(|rest| rest.split('"').next()).unwrap_or_default()
}

/// Names that cargo or Rust has for something else.
const RESERVED: &str = "abstract alloc as async await become box break const continue core crate \
    do dyn else enum extern false final fn for gen if impl in let loop macro match mod move mut \
    override priv proc-macro proc_macro pub ref return self static std struct super test trait \
    true try type typeof union unsafe unsized use virtual where while yield \
    build deps examples incremental cloister";

/// Whether a trainer can be called so; if not, why.
fn check(name: &str) -> std::result::Result<(), String> {
    let good = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '_';
    if !name.chars().all(good) || !name.starts_with(|c: char| c.is_ascii_lowercase()) {
        return Err("cannot be a crate's: begin with a lower-case letter, go on with lower-case \
                    letters, digits, `-` and `_`"
            .into());
    }
    if name.len() > 64 {
        return Err("is too long: use at most 64 characters".into());
    }
    if RESERVED.split_whitespace().any(|reserved| reserved == name) {
        return Err("means something else to Rust or cargo; choose another".into());
    }
    if LOCK.split(PACKAGE).any(|package| locked_name(package) == name) {
        return Err("is that of a crate which trainers are built with; choose another".into());
    }
    Ok(())
}

fn write(folder: &Path, files: &[(String, String)]) -> Result<()> {
    for (path, text) in files {
        let path = folder.join(path);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).with_path(parent)?;
        }
        files::write(&path, text.as_bytes())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::*;

    fn ours(path: &str) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)
    }

    fn table(text: &str) -> toml::Table {
        text.parse().unwrap()
    }

    #[test]
    fn the_copy_of_the_sdk_is_whole() {
        let known: BTreeSet<String> = SDK.iter().map(|(name, _)| (*name).to_owned()).collect();
        let entries = fs::read_dir(ours("compute/sdk/src")).unwrap();
        let found = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        assert_eq!(known, found.collect(), "`SDK` above lists the SDK's sources");
    }

    #[test]
    fn the_copy_is_built_with_what_ours_is_built_with() {
        let workspace = table(&fs::read_to_string(ours("Cargo.toml")).unwrap());
        let copied = table(SDK_MANIFEST);
        assert_eq!(
            copied["dependencies"]["wit-bindgen"],
            workspace["workspace"]["dependencies"]["wit-bindgen"],
            "cli/templates/trainer/sdk.toml.in says another"
        );
        let sdk = table(&fs::read_to_string(ours("compute/sdk/Cargo.toml")).unwrap());
        let dependencies: Vec<_> = sdk["dependencies"].as_table().unwrap().keys().collect();
        assert_eq!(dependencies, ["wit-bindgen"]);
    }

    /// How to make it anew: put the workspace's Cargo.lock into a new project, run `cargo
    /// metadata` there, and take the project's own package out.
    #[test]
    fn versions_are_those_of_the_workspace() {
        let packages = |text: &str| -> BTreeSet<(String, String)> {
            let table = table(text);
            let list = table["package"].as_array().unwrap().iter();
            let own = |p: &&toml::Value| p.get("checksum").is_some();
            list.filter(own).map(|p| (p["name"].to_string(), p["checksum"].to_string())).collect()
        };
        let workspace = packages(&fs::read_to_string(ours("Cargo.lock")).unwrap());
        let template = packages(LOCK);
        assert!(template.len() > 20);
        let other: Vec<_> = template.difference(&workspace).collect();
        assert!(other.is_empty(), "cli/templates/trainer/Cargo.lock.in is old: {other:?}");
    }

    #[test]
    fn a_project_is_filled_in_and_its_lock_is_in_order() {
        for name in ["aaa", "my-trainer", "zzz_9"] {
            let files: BTreeMap<_, _> = project(name, &Sdk::Copy).into_iter().collect();
            let sources = format!("{COPY}/src/");
            let mut ours = files.iter().filter(|(path, _)| !path.starts_with(&sources));
            assert!(ours.all(|(_, text)| !text.contains("{{")), "{name}: {files:?}");
            let lock = table(&files["Cargo.lock"]);
            let names: Vec<_> = lock["package"]
                .as_array()
                .unwrap()
                .iter()
                .map(|package| package["name"].as_str().unwrap())
                .collect();
            assert!(names.is_sorted() && names.contains(&name), "{names:?}");
            assert!(files["Cargo.lock"].ends_with("]\n") || files["Cargo.lock"].ends_with("\"\n"));
            assert_eq!(table(&files["Cargo.toml"])["package"]["name"].as_str(), Some(name));
        }
    }

    #[test]
    fn bad_names_are_refused_with_a_reason() {
        for name in ["a", "my-trainer", "x_1"] {
            assert_eq!(check(name), Ok(()));
        }
        let long = "a".repeat(65);
        for (name, why) in [
            ("", "crate's"),
            ("-x", "crate's"),
            ("9x", "crate's"),
            ("My", "crate's"),
            ("../x", "crate's"),
            ("a b", "crate's"),
            ("\u{e9}t\u{e9}", "crate's"),
            (&long, "too long"),
            ("core", "something else"),
            ("cloister", "something else"),
            ("serde", "built with"),
            ("cloister-compute", "built with"),
        ] {
            let error = check(name).unwrap_err();
            assert!(error.contains(why), "{name}: {error}");
        }
    }
}
