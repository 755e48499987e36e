//! What a change does to a text, line by line.

use std::borrow::Cow;

/// Lines around a change that are shown with it.
const AROUND: usize = 2;

/// The largest part of a file, in lines of before times lines of after, that is compared line by line.
const LARGEST: usize = 4_000_000;

/// The lines that go and those that come, with some that stay around them. Other parts of the file are not shown: they may
/// hold the secrets of other servers.
pub(super) fn shown(before: &str, after: &str) -> String {
    let (before, after): (Vec<&str>, Vec<&str>) = (before.lines().collect(), after.lines().collect());
    let steps = steps(&before, &after);
    let near = |at: usize| {
        let (from, to) = (at.saturating_sub(AROUND), (at + AROUND + 1).min(steps.len()));
        steps.get(from..to).is_some_and(|around| around.iter().any(|(kind, _)| *kind != ' '))
    };
    let mut text = String::new();
    let mut gap = false;
    for (at, (kind, line)) in steps.iter().enumerate() {
        if near(at) {
            if gap {
                text.push_str("  …\n");
            }
            text.push_str(&format!("  {kind} {}\n", masked(line)));
        }
        gap = !near(at);
    }
    text
}

/// A line without the secret that it may have, the older one of an entry for example.
fn masked(line: &str) -> Cow<'_, str> {
    const SECRETS: [&str; 5] = ["password", "token", "secret", "authorization", "api_key"];
    // These say where a secret is.
    const PLACES: [&str; 5] = ["password_file", "password_keyring", "token_env_var", "${", "{env:"];
    let small = line.to_ascii_lowercase();
    let has = |words: &[&str]| words.iter().any(|word| small.contains(word));
    match line.find([':', '=']) {
        Some(at) if has(&SECRETS) && !has(&PLACES) => format!("{} ***", line.split_at(at + 1).0).into(),
        _ => line.into(),
    }
}

/// Each line with what becomes of it: it stays, goes (`-`) or comes (`+`).
fn steps<'a>(before: &[&'a str], after: &[&'a str]) -> Vec<(char, &'a str)> {
    let same = |pair: &(&&str, &&str)| pair.0 == pair.1;
    let first = before.iter().zip(after).take_while(same).count();
    let (old, new) = (before.get(first..).unwrap_or_default(), after.get(first..).unwrap_or_default());
    let last = old.iter().rev().zip(new.iter().rev()).take_while(same).count();
    let (old, tail) = old.split_at(old.len() - last);
    let new = new.get(..new.len() - last).unwrap_or_default();
    let mut steps: Vec<(char, &str)> = before.iter().take(first).map(|line| (' ', *line)).collect();
    if old.len().saturating_mul(new.len()) > LARGEST {
        steps.extend(old.iter().map(|line| ('-', *line)));
        steps.extend(new.iter().map(|line| ('+', *line)));
    } else {
        steps.extend(compared(old, new));
    }
    steps.extend(tail.iter().map(|line| (' ', *line)));
    steps
}

/// The same by the longest series of lines that both have.
fn compared<'a>(old: &[&'a str], new: &[&'a str]) -> Vec<(char, &'a str)> {
    // How many lines are the same from here on, by the place in both.
    let mut rows = vec![vec![0_u32; new.len() + 1]];
    for line in old.iter().rev() {
        let mut row = vec![0];
        let below = rows.last().cloned().unwrap_or_default();
        for (at, other) in new.iter().enumerate().rev() {
            let right = row.last().copied().unwrap_or_default();
            let next = |at: usize| below.get(at).copied().unwrap_or_default();
            row.push(if line == other { next(at + 1) + 1 } else { right.max(next(at)) });
        }
        row.reverse();
        rows.push(row);
    }
    rows.reverse();
    let same = |i: usize, j: usize| rows.get(i).and_then(|row| row.get(j)).copied().unwrap_or_default();
    let (mut i, mut j, mut steps) = (0, 0, Vec::new());
    loop {
        match (old.get(i), new.get(j)) {
            (Some(line), Some(other)) if line == other => {
                steps.push((' ', *line));
                (i, j) = (i + 1, j + 1);
            }
            (Some(line), other) if other.is_none() || same(i + 1, j) >= same(i, j + 1) => {
                steps.push(('-', *line));
                i += 1;
            }
            (_, Some(line)) => {
                steps.push(('+', *line));
                j += 1;
            }
            _ => return steps,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_changes_is_shown_with_what_is_around() {
        let before = "a\nb\nc\nd\nsecret\ne\nf\ng\n";
        let after = "a\nb\nx\nd\nsecret\ne\nf\ng\nh\n";
        let expected = "    a\n    b\n  - c\n  + x\n    d\n    secret\n    f\n    g\n  + h\n";
        assert_eq!(shown(before, after).replace("  …\n", ""), expected);
        assert_eq!(shown("", "a\n"), "  + a\n");
        assert_eq!(shown("a\n", ""), "  - a\n");
        assert_eq!(shown("a\n", "a\n"), "");
    }

    #[test]
    fn secrets_are_not_shown() {
        for (line, shown) in [
            (r#"  "VCENTER_PASSWORD": "hunter2","#, r#"  "VCENTER_PASSWORD": ***"#),
            ("API_TOKEN = 'x'", "API_TOKEN = ***"),
            (r#""VCENTER_PASSWORD_FILE": "/p""#, r#""VCENTER_PASSWORD_FILE": "/p""#),
            (r#""VCENTER_PASSWORD": "${input:p}""#, r#""VCENTER_PASSWORD": "${input:p}""#),
            (r#""password": true"#, r#""password": ***"#),
        ] {
            assert_eq!(masked(line), shown);
        }
    }

    #[test]
    fn what_is_far_from_a_change_is_not_shown() {
        let before: String = (0..20).map(|n| format!("{n}\n")).collect();
        let after = before.replace("\n3\n", "\nthree\n").replace("\n15\n", "\nfifteen\n");
        let shown = shown(&before, &after);
        assert_eq!(
            shown,
            "  …\n    1\n    2\n  - 3\n  + three\n    4\n    5\n  …\n    13\n    14\n  - 15\n  + fifteen\n    16\n    17\n"
        );
    }
}
