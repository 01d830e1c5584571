//! Carries out the runbook, each section in a project of its own.
#![cfg(feature = "control")]

use std::path::Path;
use std::process::Command;

const RUNBOOK: &str = include_str!("../src/store/RUNBOOK.md");

/// The fenced commands of a part, as one script.
fn commands(part: &str) -> String {
    let blocks = part.split("\n```sh\n").skip(1);
    blocks.map(|block| block.split_once("\n```\n").expect("the block ends").0.to_owned() + "\n").collect()
}

/// Runs a script that stops at the first command that fails.
fn run(folder: &Path, script: &str) -> String {
    let bin = Path::new(env!("CARGO_BIN_EXE_flagstone")).parent().unwrap();
    let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
    let output = Command::new("sh").args(["-euc", script]).current_dir(folder).env("PATH", path).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{script}\n---\n{}\n---\n{}", text(&output.stdout), text(&output.stderr));
    text(&output.stdout)
}

#[test]
fn every_section_works_as_it_stands() {
    let jq = Command::new("jq").arg("--version").output();
    assert!(jq.is_ok_and(|jq| jq.status.success()), "jq is missing; `.ci/install jq` gets it");
    let mut sections = RUNBOOK.split("\n## ");
    let setup = commands(sections.next().unwrap());
    let mut seen = 0;
    for section in sections {
        let title = section.lines().next().unwrap();
        let project = tempfile::tempdir().unwrap();
        let publish = "flagstone init
            for percent in 10 20 30; do
                sed \"s/percent: 10/percent: $percent/\" flags.yaml > flags.new && mv flags.new flags.yaml
                flagstone publish flags.yaml --key keys/production.private.jwk --reason \"$percent percent\"
            done\n";
        let script = commands(section);
        assert!(script.lines().count() > 2, "{title} has no commands");
        run(project.path(), &format!("{setup}{publish}{script}"));
        // Whatever happened, whoever is on call can act, with the key that there is now.
        let key = if project.path().join("keys/next.private.jwk").exists() { "next" } else { "production" };
        let kill = format!(
            "{setup}flagstone kill --all --key keys/{key}.private.jwk --keys keys/production.jwks --reason '{title}'
            flagstone verify --store published --keys keys/production.jwks\n"
        );
        run(project.path(), &kill);
        seen += 1;
    }
    assert_eq!(seen, 5);
}

#[test]
fn a_step_that_fails_is_found() {
    let folder = tempfile::tempdir().unwrap();
    assert!(
        std::panic::catch_unwind(|| run(folder.path(), "flagstone verify --store nowhere --keys none\ntrue")).is_err()
    );
}
