//! Parity that could fail: one line of one runtime's build is changed, and the command sees it.
#![cfg(feature = "control")]

use serde_json::Value;
use std::fs;
use std::path::Path;
use std::process::Command;
use tempfile::TempDir;

/// A copy of the npm package, without its parts in folders, which Node does not read.
fn package() -> TempDir {
    let built = Path::new(env!("CARGO_MANIFEST_DIR")).join("pkg");
    let files =
        fs::read_dir(&built).unwrap_or_else(|error| panic!("{}: {error}; build it with `make pkg`", built.display()));
    let copy = TempDir::new().unwrap();
    for file in files.map(Result::unwrap).filter(|file| file.file_type().unwrap().is_file()) {
        fs::copy(file.path(), copy.path().join(file.file_name())).unwrap();
    }
    copy
}

/// The exit code and the report of comparing with this package in Node.
fn parity(package: &Path) -> (Option<i32>, Value) {
    let output = Command::new(env!("CARGO_BIN_EXE_flagstone"))
        .args(["parity", "--users", "1200", "--require", "node", "--json", "--package"])
        .arg(package)
        // Empty: as if they were not there.
        .envs([("FLAGSTONE_CHROMIUM", ""), ("FLAGSTONE_WORKERD", "")])
        .output()
        .unwrap();
    let report = serde_json::from_slice(&output.stdout);
    (
        output.status.code(),
        report.unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&output.stderr))),
    )
}

/// Changes a file wherever `before` stands in it, once at least.
fn mutate(package: &Path, file: &str, before: &[u8], after: &[u8]) {
    let path = package.join(file);
    let bytes = fs::read(&path).unwrap();
    let mut mutated = Vec::new();
    let mut rest = &bytes[..];
    while let Some(first) = rest.first() {
        match rest.strip_prefix(before) {
            Some(left) => {
                mutated.extend_from_slice(after);
                rest = left;
            }
            None => {
                mutated.push(*first);
                rest = &rest[1..];
            }
        }
    }
    let before = String::from_utf8_lossy(before);
    assert!(bytes != mutated, "{file} does not hold {before:?} any more: mutate something else");
    fs::write(path, mutated).unwrap();
}

/// That the command names a difference, in one of these flags if there are any.
fn assert_seen(package: &Path, what: &str, flags: &[&str]) {
    let (code, report) = parity(package);
    assert_eq!((code, &report["equal"]), (Some(1), &Value::Bool(false)), "{what}: {report:#}");
    let [native, node, ..] = &report["runtimes"].as_array().unwrap()[..] else { panic!("{report:#}") };
    assert_eq!((&native["runtime"], &node["runtime"]), (&"native".into(), &"node".into()));
    assert_ne!(native["digest"], node["digest"], "{what}");
    let difference = &node["difference"];
    assert_ne!(difference["native"], difference["found"], "{what}: {report:#}");
    assert!(difference["context"].as_str().is_some_and(|context| context.starts_with('{')), "{what}: {difference:#}");
    let flag = difference["flag"].as_str().unwrap_or_default();
    assert!(!flag.is_empty() && (flags.is_empty() || flags.contains(&flag)), "{what}: found first in {flag}");
}

#[test]
fn the_package_as_built_is_equal() {
    let (code, report) = parity(package().path());
    assert_eq!((code, &report["equal"]), (Some(0), &Value::Bool(true)), "{report:#}");
}

#[test]
fn mutations_of_the_javascript_are_seen() {
    let mutations: [(&str, &str, &str, &[&str]); 6] = [
        ("encode.js", "setFloat64(this.#at, value, true)", "setFloat64(this.#at, Math.fround(value), true)", &[]),
        ("encode.js", "encodeInto(text, ", "encodeInto(text.normalize(), ", &[]),
        ("encode.js", "!Object.hasOwn(value, name)", "!(name in value)", &[]),
        ("encode.js", r"if (/\p{Surrogate}/u.test(text))", "if (false)", &[]),
        ("codes.js", "packed & 0xfff", "packed & 0xff", &["many-variants"]),
        ("codes.js", "(packed >>> 12) & 0xf]", "(packed >>> 12) & 0xe]", &[]),
    ];
    for (file, before, after, flags) in mutations {
        let package = package();
        mutate(package.path(), file, before.as_bytes(), after.as_bytes());
        assert_seen(package.path(), &format!("{file}: {before} → {after}"), flags);
    }
}

#[test]
fn mutations_of_the_engine_are_seen() {
    // The secret that XXH3 mixes into every hash, with one bit flipped.
    let package_of_xxh3 = package();
    let secret = [0xb8, 0xfe, 0x6c, 0x39, 0x23, 0xa4, 0x4b, 0xbe];
    let mut flipped = secret;
    flipped[3] ^= 1;
    // In both, or they would not be of one version.
    for file in ["flagstone_bg.wasm", "flagstone_tools.wasm"] {
        mutate(package_of_xxh3.path(), file, &secret, &flipped);
    }
    assert_seen(package_of_xxh3.path(), "xxh3", &[]);

    // `i32.const 31`, `i32.mul`: the multiplier of js31 becomes 33.
    let package_of_js31 = package();
    mutate(package_of_js31.path(), "flagstone_bg.wasm", &[0x41, 31, 0x6c], &[0x41, 33, 0x6c]);
    assert_seen(
        package_of_js31.path(),
        "js31",
        &["js31-1", "js31-2", "js31-3", "js31-4", "js31-5", "js31-6", "js31-7"],
    );
}
