//! The command line, as a person and as a program meet it, in a world whose files are
//! real: one small job was run, and everything it left is looked at.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::OnceLock,
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use cloister_protocol::release::Receipt;
use cloister_simulated::{LEAF_LIFETIME, UnixTime, Vendor, mutations::snp::Plan};
use cloister_tests::{Programs, guests, small};
use serde_json::Value;

/// Rounds of the job, and so its releases.
const ROUNDS: u32 = 2;

/// What a command left.
#[derive(Debug)]
struct Ran {
    line: String,
    code: i32,
    out: String,
    err: String,
}

/// The world after its job: files, and what the commands said that need a host.
struct Fixture {
    root: PathBuf,
    programs: Programs,
    live: Vec<(&'static str, Ran)>,
}

fn fixture() -> &'static Fixture {
    static FIXTURE: OnceLock<Fixture> = OnceLock::new();
    FIXTURE.get_or_init(|| Fixture::make().unwrap_or_else(|error| panic!("{error:#}")))
}

impl Fixture {
    fn make() -> Result<Self> {
        let root = small::folder(env!("CARGO_TARGET_TMPDIR"), "command-line")?;
        let mut world = small::world(&root, &["north", "south"], 12, &|_, text| text)?;
        fs::write(root.join("job.toml"), small::job(ROUNDS, 200))?;
        world.enclave(&["vendor", "other-vendor"])?;
        let other = world.enclave(&["measure", "--vendor", "other-vendor"])?;
        fs::write(root.join("other.toml"), other)?;
        fs::write(root.join("junk"), b"\x00\x01junk")?;
        fs::write(root.join("module.wasm"), guests::module(guests::HONEST)?)?;
        write_evidence(&root.join("evidence"))?;
        world.start()?;
        world.push()?;
        let mut fixture = Self { root, programs: world.programs.clone(), live: Vec::new() };
        for (name, words) in [
            ("run", "run job.toml --home lab --host node-1 --trainers . -o results"),
            ("run", "run job.toml --home lab --host node-1 --trainers . -o again --json"),
            ("data push", "data push north.sealed --home north --host node-1"),
            ("data push", "data push north.sealed --home north --host node-1 --json"),
            ("jobs", "jobs --home lab --host node-1"),
            ("jobs", "jobs --home lab --host node-1 --json"),
        ] {
            let ran = fixture.cloister(words)?;
            fixture.live.push((name, ran));
        }
        let jobs: Value = serde_json::from_str(&fixture.live.last().context("no run")?.1.out)?;
        let id = jobs["jobs"][0]["job"].as_str().context("no job")?;
        for output in ["followed", "followed --json"] {
            let follow = format!("follow {id} --home lab --host node-1 -o {output}");
            let ran = fixture.cloister(&follow)?;
            fixture.live.push(("follow", ran));
        }
        Ok(fixture)
    }

    /// Runs `cloister` with these words, and nothing that is a terminal.
    fn cloister(&self, words: &str) -> Result<Ran> {
        let arguments: Vec<&str> = words.split_whitespace().collect();
        let mut command = self.programs.cloister(&self.root, &arguments);
        let output = command.stdin(Stdio::null()).output()?;
        Ok(Ran {
            line: format!("cloister {words}"),
            code: output.status.code().context("killed")?,
            out: String::from_utf8(output.stdout)?,
            err: String::from_utf8(output.stderr)?,
        })
    }

    fn json(&self, words: &str) -> Result<Value> {
        let ran = self.cloister(&format!("{words} --json"))?;
        serde_json::from_str(&ran.out).with_context(|| format!("{ran:?}"))
    }

    /// Every command that does something, as `--help` lists them.
    fn commands(&self) -> Result<Vec<String>> {
        let mut leaves = Vec::new();
        let mut open = vec![String::new()];
        while let Some(path) = open.pop() {
            let help = self.cloister(&format!("{path} --help"))?.out;
            let Some((_, listed)) = help.split_once("\nCommands:\n") else {
                leaves.push(path.trim().to_owned());
                continue;
            };
            // A command of its own beside those below it.
            if help.contains("\nArguments:\n") && !path.is_empty() {
                leaves.push(path.trim().to_owned());
            }
            let names = listed.lines().take_while(|line| !line.trim().is_empty());
            // A line that goes on begins further to the right.
            let names = names.filter(|line| line.starts_with("  ") && !line.starts_with("   "));
            let names = names.filter_map(|line| line.split_whitespace().next());
            open.extend(names.filter(|name| *name != "help").map(|name| format!("{path} {name}")));
        }
        Ok(leaves)
    }
}

/// A document of a simulated debug enclave and a report of a test vendor, with what each
/// rests on.
fn write_evidence(folder: &Path) -> Result<()> {
    const MADE: u64 = 1_767_225_600;
    let now = UnixTime::since_unix_epoch(Duration::from_secs(MADE));
    let vendor = Vendor::generate(now)?;
    let pcrs = (0..5).map(|index| (index, [0; 48])).collect();
    let document = vendor.leaf(now, LEAF_LIFETIME)?.document(&[7; 64], None, &pcrs, MADE * 1000)?;
    let signed = Plan::new(&[7; 64], &[0x99; 48]).sign();
    fs::create_dir_all(folder.join("roots"))?;
    fs::create_dir_all(folder.join("certs"))?;
    for (name, bytes) in [
        ("document", &document[..]),
        ("roots/root", vendor.root_der()),
        ("report", &signed.report),
        ("root", &signed.root),
        ("certs/leaf", &signed.leaf),
        ("certs/intermediate", &signed.intermediate),
        ("certs/root", &signed.root),
    ] {
        fs::write(folder.join(name), bytes)?;
    }
    Ok(())
}

impl Ran {
    fn good(&self) -> Result<()> {
        ensure!(self.code == 0, "{self:?}");
        ensure!(self.err.is_empty(), "it worked, and complains: {self:?}");
        self.plain()
    }

    /// One line on standard error, nothing else anywhere.
    fn error(&self, code: i32) -> Result<&str> {
        ensure!(self.code == code, "exit code {code} is expected: {self:?}");
        ensure!(self.out.is_empty(), "an error is on standard output: {self:?}");
        self.error_line()
    }

    fn error_line(&self) -> Result<&str> {
        let line = self.err.strip_prefix("error: ").and_then(|line| line.strip_suffix('\n'));
        let line = line.with_context(|| format!("not `error: ...`: {self:?}"))?;
        ensure!(!line.contains('\n') && line.len() > 10, "{self:?}");
        self.plain()?;
        Ok(line)
    }

    /// No colours, no bars: nobody sees them.
    fn plain(&self) -> Result<()> {
        let all = format!("{}{}", self.out, self.err);
        ensure!(!all.contains(['\u{1b}', '\r']), "colours or progress in a file: {self:?}");
        Ok(())
    }

    fn objects(&self) -> Result<Vec<Value>> {
        let read = |line| serde_json::from_str(line).with_context(|| format!("{self:?}"));
        self.out.lines().map(read).collect()
    }
}

/// What each command does when it works, in an order in which it does.
const WORKING: &[(&str, &str)] = &[
    (
        "owner init",
        "owner init fresh --name fresh --population patients --address https://127.0.0.1:7101",
    ),
    ("orchestrator init", "orchestrator init fresh-lab --name fresh-lab"),
    ("author init", "author init fresh-author --name fresh-author"),
    (
        "host init",
        "host init fresh-host --name fresh-host --address https://127.0.0.1:7201 --enclave e \
         --vendor v",
    ),
    ("enrol", "enrol fresh-host/enrolment.cloister --home fresh"),
    ("renew", "renew --home fresh"),
    ("policy allow-owner", "policy allow-owner north/enrolment.cloister --home fresh"),
    ("policy allow-orchestrator", "policy allow-orchestrator lab/enrolment.cloister --home fresh"),
    ("policy trust-image", "policy trust-image measurements.toml --allow-simulated --home fresh"),
    ("policy check", "policy check --home fresh"),
    ("policy explain", "policy explain --home fresh"),
    ("policy sign", "policy sign --home fresh"),
    (
        "policy assess",
        "policy assess --home north --results results --code linear@1.code -o assessment.md",
    ),
    ("budget show", "budget show --home north"),
    (
        "budget plan",
        "budget plan --home fresh --rounds 10 --epsilon 0.5 --units 200 --svg plan.svg",
    ),
    ("budget history", "budget history --home north"),
    ("data mock", "data mock --dataset data/dataset.toml --rows 20 -o fresh.csv"),
    ("data seal", "data seal fresh.csv --dataset data/dataset.toml --home fresh -o fresh.sealed"),
    ("code new", "code new fresh-trainer"),
    // Of a core module: a crate needs a toolchain, see `a_trainer_is_built`.
    ("code build", "code build module.wasm -o fresh.wasm"),
    (
        "code test",
        "code test component.wasm --dataset data/dataset.toml --data data/north.csv --rounds 2 --workers 1",
    ),
    (
        "code sign",
        "code sign component.wasm --name fresh --version 1 --home fresh-author -o fresh@1.code",
    ),
    ("code approve", "code approve fresh@1.code --home fresh --yes"),
    ("verify", "verify results --trust measurements.toml"),
    (
        "verify nitro",
        "verify nitro evidence/document --at 2026-01-01T00:00:00Z --any-nonce --any-binding \
         --allow-debug --roots evidence/roots",
    ),
    (
        "verify snp",
        "verify snp evidence/report --collateral evidence/certs --root evidence/root \
         --at 2026-01-01T00:00:00Z --any-binding --measurement \
         999999999999999999999999999999999999999999999999\
         999999999999999999999999999999999999999999999999",
    ),
    ("collateral add", "collateral add evidence/certs/leaf evidence/root --to kept"),
    ("collateral show", "collateral show evidence/certs"),
    ("collateral check", "collateral check evidence/certs --at 2026-01-01T00:00:00Z"),
    ("collateral sign", "collateral sign evidence/certs --home north --to certs.bundle"),
    ("show", "show fresh.sealed"),
    ("completions", "completions bash"),
];

/// Ways in which commands fail although they are used rightly; and what the line says.
const FAILING: &[(&str, &str, &str)] = &[
    (
        "owner init",
        "owner init north --name n --population p --address https://127.0.0.1:1",
        "north",
    ),
    ("orchestrator init", "orchestrator init lab --name lab", "lab"),
    ("author init", "author init author --name author", "author"),
    (
        "host init",
        "host init node-1 --name n --address https://127.0.0.1:1 --enclave e --vendor v",
        "node-1",
    ),
    ("enrol", "enrol junk --home north", "junk"),
    ("renew", "renew --home nowhere", "nowhere is not a party's home"),
    ("policy allow-owner", "policy allow-owner lab/enrolment.cloister --home north", "is needed"),
    ("policy allow-orchestrator", "policy allow-orchestrator junk --home north", "junk"),
    ("policy trust-image", "policy trust-image job.toml --home north", "job.toml"),
    ("policy check", "policy check --home lab", "lab"),
    ("policy explain", "policy explain --home nowhere", "nowhere"),
    ("policy sign", "policy sign --home nowhere", "nowhere"),
    ("policy assess", "policy assess --home lab", "lab"),
    ("budget show", "budget show --home lab", "lab"),
    ("budget plan", "budget plan --home north --svg junk", "junk is there already"),
    ("budget history", "budget history --home nowhere", "nowhere is not a party's home"),
    ("budget history", "budget history --home north --export junk", "junk is there already"),
    ("data mock", "data mock --dataset job.toml --rows 1 -o x.csv", "job.toml"),
    ("data seal", "data seal missing.csv --dataset data/dataset.toml --home north", "missing.csv"),
    ("data push", "data push junk --home north --host node-1", "junk"),
    ("code new", "code new data", "data is there already"),
    ("code build", "code build junk", "not WebAssembly"),
    ("code test", "code test junk --dataset data/dataset.toml --data data/north.csv", "junk"),
    ("code sign", "code sign junk --name x --version 1 --home author", "junk"),
    ("code approve", "code approve junk --home north --yes", "junk"),
    ("run", "run job.toml --home lab --host nobody --trainers .", "nobody"),
    ("follow", "follow 00 --home lab --host node-1", "node-1 cannot be reached"),
    ("jobs", "jobs --home lab --host node-1", "is its service running"),
    ("verify", "verify missing.receipt --trust measurements.toml", "missing.receipt"),
    ("verify", "verify results --trust measurements.toml --log missing.log", "missing.log"),
    ("collateral add", "collateral add junk --to kept", "neither a certificate nor"),
    ("collateral show", "collateral show missing", "no such file"),
    ("collateral check", "collateral check missing", "no such file"),
    ("collateral sign", "collateral sign data --home north --to none.bundle", "no certificate"),
    ("show", "show junk", "not a file of Cloister's"),
];

#[test]
fn wrong_use_is_one_line_and_exit_code_2() -> Result<()> {
    let fixture = fixture();
    let commands = fixture.commands()?;
    ensure!(commands.len() > 20, "{commands:?}");
    for command in &commands {
        fixture.cloister(command)?.error(2)?;
        fixture.cloister(&format!("{command} --frobnicate"))?.error(2)?;
    }
    let line = fixture.cloister("data seal")?;
    ensure!(line.error(2)?.contains("--dataset"), "{line:?}");
    let line = fixture.cloister("fly")?;
    ensure!(line.error(2)?.contains("--help"), "{line:?}");
    Ok(())
}

#[test]
fn failures_are_one_line_and_exit_code_1() -> Result<()> {
    let fixture = fixture();
    for (_, words, says) in FAILING {
        let ran = fixture.cloister(words)?;
        ensure!(ran.error(1)?.contains(says), "{says:?} is not in {ran:?}");
    }
    Ok(())
}

#[test]
fn every_command_speaks_json_when_it_works_and_when_it_fails() -> Result<()> {
    let fixture = fixture();
    let mut covered: BTreeSet<&str> = BTreeSet::new();
    for (command, words) in WORKING {
        let ran = fixture.cloister(&format!("{words} --json"))?;
        ran.good()?;
        ensure!(ran.objects()?.len() == 1 && ran.objects()?[0].is_object(), "{ran:?}");
        covered.insert(command);
    }
    for (command, ran) in fixture.live.iter().filter(|(_, ran)| ran.line.ends_with("--json")) {
        ran.good()?;
        ensure!(ran.objects()?.iter().all(Value::is_object), "{ran:?}");
        covered.insert(command);
    }
    let commands = fixture.commands()?;
    let commands: BTreeSet<&str> = commands.iter().map(String::as_str).collect();
    ensure!(commands == covered, "not covered: {:?}", commands.symmetric_difference(&covered));

    let wrong = commands.iter().map(|command| (format!("{command} --json"), 2));
    let failing = FAILING.iter().map(|(_, words, _)| (format!("{words} --json"), 1));
    for (words, code) in wrong.chain(failing) {
        let ran = fixture.cloister(&words)?;
        ensure!(ran.code == code, "{ran:?}");
        let objects = ran.objects()?;
        ensure!(objects.len() == 1 && objects[0]["error"] == ran.error_line()?, "{ran:?}");
    }
    let failing: BTreeSet<&str> = FAILING.iter().map(|(command, ..)| *command).collect();
    let missing: Vec<_> = commands.difference(&failing).collect();
    // Evidence that is denied is no error but a verdict: see the tests of the command line.
    let others = [&"completions", &"verify nitro", &"verify snp"];
    ensure!(missing == others, "no failure of {missing:?}");
    Ok(())
}

#[test]
fn a_run_tells_machines_each_release() -> Result<()> {
    let run = fixture().live.iter().find(|(name, ran)| *name == "run" && ran.line.ends_with('n'));
    let events = run.context("no run")?.1.objects()?;
    let of_kind = |kind: &str| events.iter().filter(|event| event["event"] == kind).count();
    ensure!(of_kind("submitted") == 1 && of_kind("release") == ROUNDS as usize, "{events:?}");
    let done = events.last().context("nothing")?;
    ensure!(done["event"] == "done" && done["releases"] == ROUNDS, "{done}");
    ensure!(done["verified"] == false, "only `cloister verify` says so: {done}");
    Ok(())
}

#[test]
fn completions_are_there_for_each_shell() -> Result<()> {
    let fixture = fixture();
    for (shell, begins) in
        [("bash", "_cloister()"), ("zsh", "#compdef cloister"), ("fish", "complete -c cloister")]
    {
        let ran = fixture.cloister(&format!("completions {shell}"))?;
        ran.good()?;
        ensure!(
            ran.out.contains(begins) && ran.out.contains("trust-image"),
            "{shell}: {}",
            ran.out
        );
    }
    Ok(())
}

#[test]
fn colours_are_for_terminals() -> Result<()> {
    let fixture = fixture();
    for (_, ran) in &fixture.live {
        ran.good()?;
    }
    for words in [
        "show job.toml",
        "verify results --trust measurements.toml",
        "data mock --dataset data/dataset.toml --rows 5 -o 5.csv --force",
    ] {
        let ran = fixture.cloister(words)?;
        ran.good()?;
        ensure!(!ran.out.is_empty(), "{ran:?}");
        let quiet = fixture.cloister(&format!("{words} --quiet"))?;
        quiet.good()?;
        ensure!(quiet.out.is_empty(), "{quiet:?}");
    }
    let program = fixture.programs.cloister::<&str>(&fixture.root, &[]);
    let line = format!("{} show job.toml", program.get_program().to_string_lossy());
    let mut terminal = Command::new("script");
    terminal.args(["--quiet", "--return", "--command", &line, "/dev/null"]);
    terminal.env_remove("NO_COLOR").env("TERM", "xterm");
    match terminal.current_dir(&fixture.root).stdin(Stdio::null()).output() {
        Ok(shown) => {
            let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
            ensure!(shown.contains("\u{1b}["), "no colours on a terminal: {shown:?}");
        }
        Err(error) => println!("SKIPPED: colours on a terminal: `script` does not run: {error}"),
    }
    Ok(())
}

#[test]
fn every_kind_of_file_is_named_and_nothing_is_said_to_be_verified() -> Result<()> {
    let fixture = fixture();
    let (root, north) = (&fixture.root, fixture.root.join("north"));
    let first = |folder: &Path, ending: &str| -> Result<String> {
        let mut entries = fs::read_dir(folder)?.filter_map(|entry| Some(entry.ok()?.path()));
        let found = entries.find(|path| path.to_string_lossy().ends_with(ending));
        Ok(found.with_context(|| format!("no {ending} in {folder:?}"))?.display().to_string())
    };
    // Parts that travel inside others.
    let receipt = Receipt::from_bytes(&fs::read(root.join("results/release-000.receipt"))?)?;
    fs::write(root.join("a.grant"), receipt.grants[0].as_bytes())?;
    fs::write(root.join("a.release"), receipt.release.as_bytes())?;
    fs::write(root.join("a.code-manifest"), receipt.code.as_bytes())?;
    fs::write(root.join("a.manifest"), receipt.datasets[0].manifest.as_bytes())?;
    fixture.cloister("budget history --home north --export north.log")?.good()?;
    for (file, kind) in [
        ("north.log", "grant-log"),
        ("north.sealed", "sealed-dataset"),
        (&first(&north.join("data"), ".proof")?, "dataset-proof"),
        ("north/policy.cloister", "policy"),
        (&first(&north.join("approvals"), ".cloister")?, "code-approval"),
        ("north/enrolment.cloister", "enrolment"),
        (&first(&north.join("peers"), ".cloister")?, "enrolment"),
        ("results/job.cloister", "job"),
        ("a.grant", "grant"),
        ("a.release", "release"),
        ("a.code-manifest", "code-manifest"),
        ("a.manifest", "dataset-manifest"),
        ("linear@1.code", "code"),
        ("component.wasm", "component"),
        ("results/release-000.receipt", "receipt"),
        ("results/release-001.safetensors", "tensors"),
        ("results/model.safetensors", "tensors"),
        ("measurements.toml", "measurements"),
        ("data/dataset.toml", "description"),
        ("job.toml", "job-text"),
        ("north/policy.toml", "policy-text"),
        ("node-1/host.toml", "host-text"),
        ("north/identity.toml", "identity"),
    ] {
        let object = fixture.json(&format!("show {file}"))?;
        ensure!(object["kind"] == kind, "{file} is a {kind}: {object}");
        ensure!(object["verified"] == false && object["claims"].is_object(), "{object}");
        let page = fixture.cloister(&format!("show {file}"))?;
        page.good()?;
        ensure!(page.out.contains("Nothing has been verified yet"), "{page:?}");
    }
    Ok(())
}

#[test]
fn nothing_is_trusted_by_default() -> Result<()> {
    let fixture = fixture();
    let ran = fixture.cloister("verify results")?;
    ensure!(ran.error(2)?.contains("--trust measurements.toml"), "{ran:?}");
    let ran = fixture.cloister("verify results --trust measurements.toml")?;
    ran.good()?;
    ensure!(ran.out.starts_with("ACCEPTED") && ran.out.contains("SIMULATED"), "{ran:?}");

    let other = fixture.cloister("verify results --trust other.toml")?;
    ensure!(other.code == 1 && other.out.starts_with("DENIED"), "{other:?}");
    let object = fixture.json("verify results --trust other.toml")?;
    ensure!(object["accepted"] == false && object["jobs"][0]["releases_verified"] == 0, "{object}");
    Ok(())
}

#[test]
fn one_flipped_byte_is_denied() -> Result<()> {
    let fixture = fixture();
    let folder = fixture.root.join("flipped");
    fs::create_dir_all(&folder)?;
    let name = |ending: &str| format!("release-001.{ending}");
    for ending in ["receipt", "safetensors"] {
        fs::copy(fixture.root.join("results").join(name(ending)), folder.join(name(ending)))?;
    }
    let verify = || fixture.cloister("verify flipped --trust measurements.toml");
    verify()?.good()?;
    for (ending, places) in [("receipt", 40), ("safetensors", 12)] {
        let path = folder.join(name(ending));
        let whole = fs::read(&path)?;
        let last = whole.len() - 1;
        for place in (0..places).map(|place| last * place / (places - 1)) {
            let mut altered = whole.clone();
            altered[place] ^= 1 << (place % 8);
            fs::write(&path, altered)?;
            let ran = verify()?;
            let said = format!("{}{}", ran.out, ran.err);
            ensure!(ran.code == 1 && said.contains("DENIED"), "{ending}, byte {place}: {ran:?}");
        }
        fs::write(&path, whole)?;
    }
    verify()?.good()
}

#[test]
fn an_author_is_told_how_updates_are_computed() -> Result<()> {
    let fixture = fixture();
    fs::write(fixture.root.join("looks.wasm"), guests::for_the_marked(guests::ZERO)?)?;
    let rows = "--dataset data/dataset.toml --data data/north.csv --rounds 2 --workers 1";
    let of = |code: &str| fixture.json(&format!("code test {code} {rows}"));
    let ways = of("component.wasm")?["ways"].clone();
    ensure!(ways[0]["recorded"] == true && ways[1].is_null(), "{ways}");
    let ways = of("looks.wasm")?["ways"].clone();
    ensure!(ways[0]["looks"] == "get" && ways[0]["units"] == 12 && ways[1].is_null(), "{ways}");
    let page = fixture.cloister(&format!("code test looks.wasm {rows}"))?;
    ensure!(page.out.contains("the code calls `get`, which shows it an element"), "{page:?}");
    Ok(())
}

#[test]
fn a_trainer_is_built() -> Result<()> {
    let fixture = fixture();
    let trainer = concat!(env!("CARGO_MANIFEST_DIR"), "/../compute/trainers/logistic");
    let ran = fixture.cloister(&format!("code build {trainer} -o built.wasm --json"))?;
    if ran.code == 1 && ran.err.contains("no Rust here builds WebAssembly") {
        println!("SKIPPED: building a trainer: {}", ran.error_line()?);
        return Ok(());
    }
    ran.good()?;
    ensure!(ran.objects()?[0]["file"] == "built.wasm", "{ran:?}");
    ensure!(fixture.json("show built.wasm")?["kind"] == "component");
    Ok(())
}
