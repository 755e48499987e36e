//! Whether `docs/pitfalls.md` and the tests that are named after its rows agree.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, bail};

use crate::tree::Tree;

/// What precedes the generated list in the file.
const HEADING: &str = "\n## Tests\n\n";

/// What a row says that has no test.
const UNTESTED: &str = "Not tested: ";

/// Checks the table, and the list of tests below it; or writes that list.
pub(crate) fn run(write: bool) -> anyhow::Result<()> {
    let path = crate::workspace("docs/pitfalls.md");
    let text = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    let (table, list) = text.split_once(HEADING).context("docs/pitfalls.md has no section `Tests`")?;
    let mut tests = BTreeMap::new();
    for dir in ["vsphere-soap", "vsphere-model", "vsphere-ops", "vsphere-sim", "mcvsphere-mcp", "peers"] {
        collect(dir, &crate::docs::rust_files(&crate::workspace(dir))?, &mut tests);
    }
    let problems = problems(table, &tests);
    if !problems.is_empty() {
        bail!("docs/pitfalls.md does not fit the tests:\n  {}", problems.join("\n  "));
    }
    let generated = generated(&tests);
    if list != generated && write {
        std::fs::write(&path, format!("{table}{HEADING}{generated}"))?;
    } else if list != generated {
        bail!("the list of tests in docs/pitfalls.md is stale: run `cargo xtask docs --write`");
    }
    Ok(())
}

/// Names of tests with their files, by the number in the name, as it is written there.
type Tests = BTreeMap<String, BTreeSet<(String, String)>>;

/// Finds the tests that are named after a row: `pitfall_13_…` or `peers_pitfall_13_…`.
fn collect(dir: &str, files: &Tree, tests: &mut Tests) {
    for (path, text) in files {
        let names = text.lines().filter_map(|line| {
            let line = line.trim_start();
            let name = line.strip_prefix("async fn ").or_else(|| line.strip_prefix("fn "))?.split('(').next()?;
            let number = name.strip_prefix("peers_").unwrap_or(name).strip_prefix("pitfall_")?.split('_').next()?;
            Some((number, name))
        });
        for (number, name) in names {
            let file = format!("{dir}/{}", path.display());
            tests.entry(number.to_owned()).or_default().insert((name.to_owned(), file));
        }
    }
}

/// Where table and tests disagree.
fn problems(table: &str, tests: &Tests) -> Vec<String> {
    let rows: BTreeMap<String, &str> = table
        .lines()
        .filter_map(|line| {
            let number: u32 = line.strip_prefix("| ")?.split(' ').next()?.parse().ok()?;
            Some((format!("{number:02}"), line))
        })
        .collect();
    let homeless = tests.iter().filter(|(number, _)| !rows.contains_key(*number)).flat_map(|(number, tests)| {
        tests.iter().map(move |(name, file)| format!("{file}: {name} is named after row {number:?}, which is missing"))
    });
    let rowless = rows.iter().filter_map(|(number, row)| match (tests.contains_key(number), row.contains(UNTESTED)) {
        (false, false) => Some(format!("row {number} has no test, and does not say `{UNTESTED}…`")),
        (true, true) => Some(format!("row {number} says `{UNTESTED}…`, but has a test")),
        _ => None,
    });
    homeless.chain(rowless).collect()
}

/// The list of tests, as the file has it.
fn generated(tests: &Tests) -> String {
    let mut text = String::from("| # | tests |\n|---|---|\n");
    for (number, tests) in tests {
        // Without their files, so that a test that moves changes nothing here.
        let names: Vec<String> = tests.iter().map(|(name, _)| format!("`{name}`")).collect();
        text.push_str(&format!("| {} | {} |\n", number.trim_start_matches('0'), names.join("<br>")));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &str = "| # | problem |\n|---|---|\n| 1 | idle |\n| 2 | looped. Not tested: it can't be yet |\n";

    fn found(source: &str) -> Tests {
        let mut tests = Tests::new();
        collect("crate", &Tree::from([("tests/a.rs".into(), source.to_owned())]), &mut tests);
        tests
    }

    #[test]
    fn a_table_that_fits_its_tests_has_no_problem() {
        let tests = found("#[test]\nfn pitfall_01_x() {\n    async fn peers_pitfall_01_y() {}\n}\nfn other() {}\n");
        assert_eq!(problems(TABLE, &tests), [""; 0]);
        let list = "`peers_pitfall_01_y`<br>`pitfall_01_x`";
        assert_eq!(generated(&tests), format!("| # | tests |\n|---|---|\n| 1 | {list} |\n"));
    }

    #[test]
    fn rows_without_tests_and_tests_without_rows_are_found() {
        let found = problems(TABLE, &found("fn pitfall_02_x() {}\nfn pitfall_3_y() {}\n"));
        assert_eq!(found.len(), 3, "{found:?}");
        assert!(found[0].contains("pitfall_3_y") && found[1].contains("row 01 has no test"), "{found:?}");
        assert!(found[2].contains("row 02 says"), "{found:?}");
    }
}
