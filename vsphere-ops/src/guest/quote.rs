//! Command lines that reach a program in the guest letter by letter.
//!
//! VMware Tools run `"program" arguments`: on Linux through a shell, on Windows by `CreateProcess`. So on Linux a text is put in
//! single quotes. On Windows the line is handed to `cmd.exe` in a variable, which is replaced after the line that names it has
//! been taken apart: nothing in it is read twice.

/// A text as one word for `/bin/sh`.
pub(super) fn posix(text: &str) -> String {
    format!("'{}'", text.replace('\'', "'\\''"))
}

/// A program and its arguments as a line for `/bin/sh`.
pub(super) fn posix_line(program: &str, arguments: &[String]) -> String {
    let words = std::iter::once(posix(program)).chain(arguments.iter().map(|argument| posix(argument)));
    format!("exec {}", words.collect::<Vec<_>>().join(" "))
}

/// A text as one argument, by the rules of `CommandLineToArgvW`: a quote is preceded by a backslash, and backslashes
/// before a quote are doubled.
pub(super) fn windows_argument(text: &str) -> String {
    if !text.is_empty() && !text.contains([' ', '\t', '"', '\u{b}']) {
        return text.to_owned();
    }
    let mut quoted = String::from("\"");
    let mut backslashes = 0;
    for letter in text.chars() {
        match letter {
            '\\' => {
                backslashes += 1;
                continue;
            }
            '"' => quoted.push_str(&"\\".repeat(backslashes * 2 + 1)),
            _ => quoted.push_str(&"\\".repeat(backslashes)),
        }
        backslashes = 0;
        quoted.push(letter);
    }
    quoted.push_str(&"\\".repeat(backslashes * 2));
    quoted.push('"');
    quoted
}

/// A program and its arguments as a line for `cmd.exe`: each sign that it would act on is preceded by a caret, quotes too, so
/// that it sees none.
pub(super) fn windows_line(program: &str, arguments: &[String]) -> String {
    // The program's name has other rules: in quotes it ends at the next quote, and can't have one.
    let program = if program.contains(' ') { format!("\"{program}\"") } else { program.to_owned() };
    let words = std::iter::once(program).chain(arguments.iter().map(|argument| windows_argument(argument)));
    let line = words.collect::<Vec<_>>().join(" ");
    let mut escaped = String::with_capacity(line.len() * 2);
    for letter in line.chars() {
        if "()%!^\"<>&|".contains(letter) {
            escaped.push('^');
        }
        escaped.push(letter);
    }
    escaped
}

/// The variables by which `cmd.exe` is given a line, and where its output goes.
pub(super) const LINE: &str = "MCV_LINE";
pub(super) const OUT: &str = "MCV_OUT";
pub(super) const ERR: &str = "MCV_ERR";

/// The arguments of the `cmd.exe` that starts another one with the line in [`LINE`].
pub(super) const WINDOWS_ARGUMENTS: &str =
    "/d /v:on /s /c \"\"%ComSpec%\" /d /v:off /s /c \"!MCV_LINE!\" >\"!MCV_OUT!\" 2>\"!MCV_ERR!\" <nul\"";

#[cfg(test)]
mod tests {
    use super::*;

    /// Texts that break quoting that is not right: each sign that means something to some shell, alone and beside others.
    fn nasty() -> Vec<String> {
        let mut texts: Vec<String> = [
            "",
            " ",
            "  two  spaces  ",
            "'",
            "''",
            "'\\''",
            "\"",
            "\"\"",
            "\\",
            "\\\\",
            "\\\\\\",
            "a\\",
            "a\\\\",
            "\\\"",
            "\\\\\"",
            "a\\\"b",
            "a\\\\\"b",
            "\"a b\"",
            "'a b'",
            "$HOME",
            "${HOME}",
            "$(id)",
            "`id`",
            "$$",
            "$?",
            "*",
            "?",
            "[a-z]",
            "{a,b}",
            "~",
            "~root",
            "#",
            "a#b",
            ";",
            ";;",
            "&",
            "&&",
            "|",
            "||",
            ">",
            ">>",
            "<",
            "<<EOF",
            "2>&1",
            "(",
            ")",
            "()",
            "a) b",
            ":)",
            "{",
            "}",
            "!",
            "!!",
            "!x!",
            "^",
            "^^",
            "^&",
            "%",
            "%%",
            "%PATH%",
            "%PATH",
            "%ComSpec%",
            "100%",
            "%~0",
            "%1",
            "!PATH!",
            "=",
            "A=b",
            "-n",
            "-e",
            "--",
            "-",
            "/c",
            "/?",
            "\t",
            "a\tb",
            "tab\t",
            "é",
            "ü ö",
            "日本語",
            "😀",
            "\u{a0}",
            "\u{202e}",
            "a'b\"c`d$e\\f",
            "\"'`",
            "'\"'\"'",
            "\\'",
            "\\$",
            "\\`",
            "\\n",
            "\\0",
            "\\x41",
            "\\ ",
            "a b",
            "a  b",
            " a",
            "a ",
            "C:\\Program Files\\x",
            "C:\\dir\\",
            "\\\\server\\share\\",
            "x\\\\",
            "x\\\\\" y",
            "rm -rf /",
            "; rm -rf /",
            "&& del *",
            "| more",
            "> nul",
            "< nul",
            "@echo",
            "echo.",
            "rem",
            "if",
            "for %i in (1) do x",
            "exit /b 1",
            "@",
            ",",
            ";,=",
            "+",
            "[",
            "]",
            "if [ 1 ]; then :; fi",
            "while :; do :; done",
            "\"; exit 3; \"",
            "'; exit 3; '",
            "$'a'",
            "$\"a\"",
            "a\\\\ b\\\\",
        ]
        .map(str::to_owned)
        .into();
        // Pairs and triples of the signs that matter.
        let signs = ["'", "\"", "\\", "$", "`", "%", "^", "!", "&", " "];
        for (at, one) in signs.iter().enumerate() {
            for other in &signs {
                texts.push(format!("{one}{other}"));
                texts.push(format!("a{one}{other}b{}", signs[(at * 3 + 1) % signs.len()]));
            }
        }
        assert!(texts.len() >= 200, "{}", texts.len());
        texts
    }

    /// Through the real shell of this computer, by the way that VMware Tools run a program: `sh -c '"/bin/sh" arguments'`.
    #[cfg(unix)]
    #[test]
    fn two_hundred_nasty_texts_come_through_the_real_shell() {
        let texts: Vec<String> =
            nasty().into_iter().chain(["a\nb".to_owned(), "\n".to_owned(), "\r\n".to_owned()]).collect();
        // All at once, each as one argument, written with a zero behind it.
        let arguments: Vec<String> = std::iter::once("%s\\0".to_owned()).chain(texts.iter().cloned()).collect();
        let line = posix_line("/usr/bin/printf", &arguments);
        let by_tools = format!("\"/bin/sh\" -c {}", posix(&line));
        let ran = std::process::Command::new("/bin/sh").arg("-c").arg(&by_tools).output().unwrap();
        assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
        let written = String::from_utf8(ran.stdout).unwrap();
        let back: Vec<&str> = written.split_terminator('\0').collect();
        assert_eq!(back, texts);
        // And as lines of the shell: what they print, and how they end, is the shell's own business.
        for text in &texts {
            let direct = std::process::Command::new("/bin/sh").arg("-n").arg("-c").arg(text).output().unwrap();
            let by_tools = format!("\"/bin/sh\" -n -c {}", posix(text));
            let ran = std::process::Command::new("/bin/sh").arg("-c").arg(&by_tools).output().unwrap();
            assert_eq!((ran.status.code(), ran.stderr), (direct.status.code(), direct.stderr), "{text:?}");
        }
    }

    /// What a program on Windows makes of its command line, by the rules of `CommandLineToArgvW`.
    fn argv(line: &str) -> Vec<String> {
        let mut letters = line.chars().peekable();
        let mut arguments = Vec::new();
        // The program's name: to the next quote, or to the next space.
        let mut program = String::new();
        let quoted = letters.next_if_eq(&'"').is_some();
        while let Some(letter) =
            letters.next_if(|letter| if quoted { *letter != '"' } else { !" \t".contains(*letter) })
        {
            program.push(letter);
        }
        if quoted {
            letters.next();
        }
        arguments.push(program);
        loop {
            while letters.next_if(|letter| " \t".contains(*letter)).is_some() {}
            if letters.peek().is_none() {
                return arguments;
            }
            let (mut argument, mut quoted) = (String::new(), false);
            loop {
                let mut backslashes = 0;
                while letters.next_if_eq(&'\\').is_some() {
                    backslashes += 1;
                }
                match letters.peek() {
                    Some('"') => {
                        argument.push_str(&"\\".repeat(backslashes / 2));
                        letters.next();
                        if backslashes % 2 == 1 {
                            argument.push('"');
                        } else if quoted && letters.peek() == Some(&'"') {
                            letters.next();
                            argument.push('"');
                        } else {
                            quoted = !quoted;
                        }
                    }
                    other => {
                        argument.push_str(&"\\".repeat(backslashes));
                        match other {
                            Some(letter) if quoted || !" \t".contains(*letter) => argument.extend(letters.next()),
                            _ => break,
                        }
                    }
                }
            }
            arguments.push(argument);
        }
    }

    /// What `cmd.exe` makes of a line: variables are replaced, then quotes and carets are read. Fails at a sign that it would
    /// act on.
    fn through_cmd(line: &str) -> String {
        let mut expanded = String::new();
        let mut rest = line;
        while let Some((before, after)) = rest.split_once('%') {
            expanded.push_str(before);
            match after.split_once('%') {
                Some((name, after)) if ["PATH", "ComSpec"].contains(&name) => {
                    expanded.push_str("REPLACED");
                    rest = after;
                }
                _ => {
                    expanded.push('%');
                    rest = after;
                }
            }
        }
        expanded.push_str(rest);
        let (mut text, mut quoted) = (String::new(), false);
        let mut letters = expanded.chars();
        while let Some(letter) = letters.next() {
            match letter {
                '^' if !quoted => text.extend(letters.next()),
                '"' => {
                    quoted = !quoted;
                    text.push('"');
                }
                '&' | '|' | '<' | '>' | '(' | ')' if !quoted => panic!("cmd.exe would act on {letter} in {line}"),
                letter => text.push(letter),
            }
        }
        text
    }

    #[test]
    fn two_hundred_nasty_texts_come_through_cmd_and_argv() {
        let texts = nasty();
        for program in ["tool.exe", "C:\\Program Files\\tool.exe", "C:\\a&b (x86)\\tool.exe"] {
            let line = windows_line(program, &texts);
            let mut back = argv(&through_cmd(&line));
            assert_eq!(back.remove(0), program);
            assert_eq!(back, texts);
        }
        for text in &texts {
            assert_eq!(argv(&format!("x {}", windows_argument(text))), ["x", text.as_str()], "{text:?}");
        }
    }

    #[test]
    fn the_rules_of_command_line_to_argv_are_known() {
        for (line, expected) in [
            (r#"p "a b c" d e"#, vec!["p", "a b c", "d", "e"]),
            (r#"p "ab\"c" "\\" d"#, vec!["p", "ab\"c", "\\", "d"]),
            (r#"p a\\\b d"e f"g h"#, vec!["p", r"a\\\b", "de fg", "h"]),
            (r#"p a\\\"b c d"#, vec!["p", r#"a\"b"#, "c", "d"]),
            (r#"p a\\\\"b c" d e"#, vec!["p", r"a\\b c", "d", "e"]),
        ] {
            assert_eq!(argv(line), expected, "{line}");
        }
    }
}
