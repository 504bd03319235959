//! Components that are refused when they are offered, each with its own error.

#[allow(dead_code)] // the other test program uses the rest
mod guests;

use std::time::Instant;

use cloister_sandbox::package::{componentize, embed_world};
use cloister_sandbox::{MAX_COMPONENT_BYTES, OfferError, compile, inspect};
use guests::{DESCRIPTION, component, honest, module_with};

fn refused(component: &[u8]) -> OfferError {
    let error = inspect(component).expect_err("it was accepted");
    let text = error.to_string();
    assert!(!text.contains('\n'), "more than a line: {text}");
    error
}

#[test]
fn an_honest_component_is_described() {
    let component = component(&honest());
    compile(&component).unwrap();
    let description = inspect(&component).unwrap();
    assert_eq!(description.name, "test");
    assert_eq!(description.version, "1.0.0");
    assert!(description.parameters.is_empty());
}

#[test]
fn the_same_module_makes_the_same_component() {
    assert_eq!(component(&honest()), component(&honest()));
}

#[test]
fn too_large() {
    let error = refused(&vec![0; MAX_COMPONENT_BYTES + 1]);
    assert!(matches!(error, OfferError::TooLarge { .. }), "{error}");
}

/// What nobody runs counts, too: it would be signed, stored and sent.
#[test]
fn a_custom_section_of_100_mib() {
    const SECTION: usize = 100 << 20;
    let mut component = component(&honest());
    component.push(0);
    let mut length = SECTION;
    while length >= 0x80 {
        component.push(u8::try_from(length & 0x7f).unwrap() | 0x80);
        length >>= 7;
    }
    component.push(u8::try_from(length).unwrap());
    component.extend_from_slice(b"\x04note");
    component.resize(component.len() + SECTION - 5, 0);
    let error = refused(&component);
    assert!(matches!(error, OfferError::TooLarge { .. }), "{error}");
}

/// As many functions as fit compile in time that follows from their size.
#[test]
fn ten_thousand_functions() {
    let functions = "(func (param i32) (result i32) local.get 0)".repeat(10_000);
    let module = honest().replacen("(memory (export", &format!("{functions}(memory (export"), 1);
    let component = component(&module);
    assert!(component.len() < MAX_COMPONENT_BYTES);
    match compile(&component) {
        Ok(_) => assert_eq!(inspect(&component).unwrap().name, "test"),
        Err(error) => panic!("{error}"),
    }
}

/// Code whose compiled form is many times its own size, or slow to make: one function of it is
/// too large to be taken, and as many small ones as fit end, in memory that their size bounds.
#[test]
fn compile_bombs() {
    let with = |functions: &str| {
        component(&honest().replacen("(memory (export", &format!("{functions}(memory (export"), 1))
    };
    let jumps = |depth: usize| {
        let targets = (0..depth).fold(String::new(), |all, depth| format!("{all} {depth}"));
        let table = format!("(br_table{targets} 0 (local.get 0))");
        format!(
            "(func (param i32) {} {} {})",
            "(block ".repeat(depth),
            table.repeat(6_000 / depth),
            ")".repeat(depth)
        )
    };
    let lanes = "(func (param i32) (local v128)
        (local.set 1 (i8x16.swizzle (i8x16.popcnt (local.get 1)) (i64x2.mul (local.get 1) (local.get 1))))"
        .to_owned()
        + &"(local.set 1 (i64x2.mul (local.get 1) (i8x16.shl (local.get 1) (i32.const 3))))"
            .repeat(1_000)
        + ")";
    for (what, function) in [("jumps", jumps(200)), ("deep jumps", jumps(1000)), ("lanes", lanes)] {
        let one = with(&function).len() - component(&honest()).len();
        assert!(one < 16 << 10, "{what}: {one} bytes");
        let many = (1 << 20) / one;
        let bomb = with(&function.repeat(many));
        // Makes the most memory so far what there is now.
        std::fs::write("/proc/self/clear_refs", "5").unwrap();
        let (began, before) = (Instant::now(), most_memory());
        let compiled = compile(&bomb).map(|_| ());
        let (took, more) = (began.elapsed(), most_memory() - before);
        println!("{what}: {} KB compiled in {took:?} with {more} KB more", bomb.len() >> 10);
        assert!(compiled.is_ok(), "{what}: {compiled:?}");
        assert!(more < 512 << 10, "{what} takes {more} KB to compile");
    }
    let twice = "(i32.add (i32.mul (local.get 0) (local.get 0)) (local.get 0))\n drop ";
    let error = refused(&with(&format!("(func (param i32) {})", twice.repeat(100_000))));
    assert!(error.to_string().contains("function"), "{error}");
}

/// The most memory that this process has had, in KB.
fn most_memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches("kB").trim().parse().unwrap()
}

/// It would run while an instance is made, before anything is known of it.
#[test]
fn a_start_function_is_refused() {
    let start = "(func $start (drop (call $new (i32.const 1) (i32.const 2)))) (start $start)";
    let module = honest().replacen("(memory (export", &format!("{start}(memory (export"), 1);
    let error = refused(&component(&module));
    assert!(error.to_string().contains("a start function"), "{error}");
}

#[test]
fn a_core_module_or_noise() {
    for bytes in [&b"\0asm\x01\0\0\0"[..], b"noise", b""] {
        let error = refused(bytes);
        assert!(matches!(error, OfferError::NotAComponent { .. }), "{error}");
    }
}

#[test]
fn every_truncation_is_refused() {
    let component = component(&honest());
    for end in (0..component.len()).step_by(97) {
        assert!(compile(&component[..end]).is_err(), "accepted {end} bytes");
    }
}

#[test]
fn wasi_is_refused_by_name() {
    let text = r#"(component
        (import "wasi:clocks/monotonic-clock@0.2.0" (instance
            (export "now" (func (result u64))))))"#;
    match refused(&wat::parse_str(text).unwrap()) {
        OfferError::ForbiddenImport { name } => {
            assert_eq!(name, "wasi:clocks/monotonic-clock@0.2.0");
        }
        other => panic!("{other}"),
    }
}

#[test]
fn a_function_beside_the_kernels_is_refused() {
    let text = r#"(component
        (import "cloister:compute/tensors@1.0.0" (instance
            (export "escape" (func)))))"#;
    let error = refused(&wat::parse_str(text).unwrap());
    assert!(matches!(error, OfferError::ImportType { .. }), "{error}");
}

#[test]
fn exports_are_exactly_the_worlds() {
    let error = refused(&wat::parse_str("(component)").unwrap());
    assert!(matches!(error, OfferError::MissingExport { name: "describe" }), "{error}");
    let text = r#"(component
        (core module $m (func (export "f")))
        (core instance $i (instantiate $m))
        (func (export "backdoor") (canon lift (core func $i "f"))))"#;
    let error = refused(&wat::parse_str(text).unwrap());
    assert!(matches!(error, OfferError::UnknownExport { .. }), "{error}");
    let text = text.replace("backdoor", "describe");
    let error = refused(&wat::parse_str(text).unwrap());
    assert!(matches!(error, OfferError::ExportType { name: "describe", .. }), "{error}");
}

#[test]
fn a_module_without_the_exports_does_not_become_a_component() {
    let module = wat::parse_str("(module)").unwrap();
    assert!(componentize(&embed_world(&module).unwrap()).is_err());
}

#[test]
fn describe_is_cut_off_by_fuel_and_by_size() {
    let endless = honest().replace(
        r#"(func (export "describe") (result i32) "#,
        r#"(func (export "describe") (result i32) (loop $l (br $l)) "#,
    );
    let error = refused(&component(&endless));
    assert!(matches!(error, OfferError::DescribeFailed { .. }), "{error}");

    // A list that is longer than the guest's memory.
    let mut description = DESCRIPTION;
    description[3] = (64, 60_000_000);
    let error = refused(&component(&module_with("", "", description)));
    assert!(matches!(error, OfferError::DescribeFailed { .. }), "{error}");

    // A hundred parameters of 48 bytes, whose names all are the same 32639 bytes at 0: 3 MB
    // for the host out of 64 KiB of the guest. Were they read, there would be too many.
    description[3] = (512, 100);
    let parameter = format!("\\00\\00\\00\\00\\7f\\7f\\00\\00{}", "\\00".repeat(40));
    let data = format!("(data (i32.const 512) \"{}\") (data (i32.const 64)", parameter.repeat(100));
    let module = module_with("", "", description).replace("(data (i32.const 64)", &data);
    let error = refused(&component(&module));
    assert!(matches!(error, OfferError::DescribeFailed { .. }), "{error}");
}

#[test]
fn a_description_with_control_characters_is_refused() {
    let module = honest().replace("test1.0.0", "te\\1bt1.0.0");
    let error = refused(&component(&module));
    assert!(matches!(error, OfferError::BadDescription { .. }), "{error}");
}
