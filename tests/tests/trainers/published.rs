//! The tables in `data/` are the published ones, but for what their pages say.

use std::fs;

use anyhow::{Context, Result};

use crate::root;

const DIGITS: &str = "6ebb3d2fee246a4e99363262ddf8a00a3c41bee6014c373ed9d9216ba7f651b8";
const ACTG175: &str = "56fba31fa0d7bfbff9667b7149fd96a97c352e72aa582871a62a935e812f0e07";

fn sha256(lines: &[String]) -> String {
    let text = lines.join("\n") + "\n";
    hex::encode(ring::digest::digest(&ring::digest::SHA256, text.as_bytes()))
}

#[test]
fn the_digits_are_the_published_ones() -> Result<()> {
    let mut published = Vec::new();
    for line in fs::read_to_string(root()?.join("data/digits/images.csv"))?.lines().skip(1) {
        let values: Vec<&str> = line.split(',').collect();
        let (pixels, classes) = values.split_at(64);
        let digit = classes.iter().position(|class| *class == "1").context("no class")?;
        published.push(format!("{},{digit}", pixels.join(",")));
    }
    assert_eq!(sha256(&published), DIGITS);
    Ok(())
}

#[test]
fn the_patients_of_the_trial_are_the_published_ones() -> Result<()> {
    let mut published = Vec::new();
    let text = fs::read_to_string(root()?.join("data/actg175/patients.csv"))?;
    for (number, line) in text.lines().enumerate() {
        let quoted = |name: &str| format!("\"{name}\"");
        let values: Vec<String> = line
            .split(',')
            .map(|value| match (number, value) {
                (0, name) => quoted(name),
                (_, "") => "NA".to_owned(),
                (_, value) => value.to_owned(),
            })
            .collect();
        let first = if number == 0 { quoted("") } else { quoted(&number.to_string()) };
        published.push(format!("{first},{}", values.join(",")));
    }
    assert_eq!(sha256(&published), ACTG175);
    Ok(())
}
