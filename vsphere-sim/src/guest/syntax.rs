//! The grammar of the shell: enough for commands that people and programs give, with quotes, pipes, groups, redirections,
//! variables and command substitution; no loops and no conditions.

/// Commands in a row.
pub(super) type Script = Vec<AndOr>;

/// Pipelines that depend on each other's success.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct AndOr {
    pub(super) first: Pipeline,
    /// Whether the next one runs after a success, and which it is.
    pub(super) rest: Vec<(bool, Pipeline)>,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) struct Pipeline {
    pub(super) negated: bool,
    pub(super) commands: Vec<Command>,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) struct Command {
    pub(super) body: Body,
    pub(super) redirections: Vec<Redirection>,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Body {
    Simple { assignments: Vec<(String, Word)>, words: Vec<Word> },
    Group(Script),
    Subshell(Script),
}

#[derive(Debug, Clone, PartialEq)]
pub(super) struct Redirection {
    /// 0, 1 or 2.
    pub(super) descriptor: u8,
    pub(super) how: How,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum How {
    Read(Word),
    Write(Word),
    Append(Word),
    /// To where this descriptor goes.
    As(u8),
}

pub(super) type Word = Vec<Part>;

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Part {
    Text { text: String, quoted: bool },
    Variable { name: String, quoted: bool },
    Output { script: Script, quoted: bool },
}

/// Reads a script.
///
/// # Errors
/// What the shell says of one that it does not understand.
pub(super) fn parse(text: &str) -> Result<Script, String> {
    let mut parser = Parser { text: text.chars().collect(), at: 0, depth: 0 };
    let script = parser.script(&[])?;
    match parser.peek() {
        None => Ok(script),
        Some(c) => Err(format!("Syntax error: \"{c}\" unexpected")),
    }
}

/// How deep groups may be in each other.
const DEEPEST: usize = 20;

struct Parser {
    text: Vec<char>,
    at: usize,
    depth: usize,
}

impl Parser {
    fn peek(&self) -> Option<char> {
        self.text.get(self.at).copied()
    }

    fn after(&self, ahead: usize) -> Option<char> {
        self.text.get(self.at + ahead).copied()
    }

    fn take(&mut self, text: &str) -> bool {
        let fits = text.chars().enumerate().all(|(at, c)| self.after(at) == Some(c));
        if fits {
            self.at += text.chars().count();
        }
        fits
    }

    fn spaces(&mut self) {
        loop {
            match (self.peek(), self.after(1)) {
                (Some(' ' | '\t'), _) => self.at += 1,
                (Some('\\'), Some('\n')) => self.at += 2,
                (Some('#'), _) if self.at == 0 || self.text.get(self.at - 1).is_some_and(|c| " \t\n;".contains(*c)) => {
                    while self.peek().is_some_and(|c| c != '\n') {
                        self.at += 1;
                    }
                }
                _ => return,
            }
        }
    }

    fn lines(&mut self) {
        loop {
            self.spaces();
            if self.peek() != Some('\n') {
                return;
            }
            self.at += 1;
        }
    }

    /// Commands up to one of the characters that end them.
    fn script(&mut self, ends: &[char]) -> Result<Script, String> {
        self.depth += 1;
        if self.depth > DEEPEST {
            return Err("Syntax error: too deep".to_owned());
        }
        let mut script = Vec::new();
        loop {
            self.lines();
            match self.peek() {
                None => break,
                Some(c) if ends.contains(&c) => break,
                Some(_) => {}
            }
            let first = self.pipeline()?;
            let mut rest = Vec::new();
            loop {
                self.spaces();
                let and = self.take("&&");
                if !and && !self.take("||") {
                    break;
                }
                self.lines();
                rest.push((and, self.pipeline()?));
            }
            script.push(AndOr { first, rest });
            self.spaces();
            match self.peek() {
                Some(';' | '\n' | '&') => self.at += 1,
                _ => break,
            }
        }
        self.depth -= 1;
        Ok(script)
    }

    fn pipeline(&mut self) -> Result<Pipeline, String> {
        self.spaces();
        let negated = self.peek() == Some('!') && self.after(1) == Some(' ') && self.take("!");
        let mut commands = vec![self.command()?];
        loop {
            self.spaces();
            if self.peek() != Some('|') || self.after(1) == Some('|') {
                return Ok(Pipeline { negated, commands });
            }
            self.at += 1;
            self.lines();
            commands.push(self.command()?);
        }
    }

    fn command(&mut self) -> Result<Command, String> {
        self.spaces();
        let body = match self.peek() {
            Some('(') => {
                self.at += 1;
                Body::Subshell(self.enclosed(')')?)
            }
            Some('{') if self.after(1).is_some_and(char::is_whitespace) => {
                self.at += 1;
                Body::Group(self.enclosed('}')?)
            }
            _ => return self.simple(),
        };
        let mut redirections = Vec::new();
        loop {
            self.spaces();
            if !self.redirection(&mut redirections)? {
                return Ok(Command { body, redirections });
            }
        }
    }

    fn enclosed(&mut self, end: char) -> Result<Script, String> {
        let script = self.script(&[end])?;
        self.lines();
        match self.take(&end.to_string()) {
            true if script.is_empty() => Err(format!("Syntax error: \"{end}\" unexpected")),
            true => Ok(script),
            false => Err(format!("Syntax error: end of file unexpected (expecting \"{end}\")")),
        }
    }

    fn simple(&mut self) -> Result<Command, String> {
        let (mut assignments, mut words, mut redirections) = (Vec::new(), Vec::new(), Vec::new());
        loop {
            self.spaces();
            if self.redirection(&mut redirections)? {
                continue;
            }
            let Some(word) = self.word()? else { break };
            match words.is_empty().then(|| assignment(&word)).flatten() {
                Some(assignment) => assignments.push(assignment),
                None => words.push(word),
            }
        }
        if assignments.is_empty() && words.is_empty() && redirections.is_empty() {
            return Err(match self.peek() {
                Some('\n') | None => "Syntax error: end of file unexpected".to_owned(),
                Some(c) => format!("Syntax error: \"{c}\" unexpected"),
            });
        }
        Ok(Command { body: Body::Simple { assignments, words }, redirections })
    }

    /// A redirection, if one begins here.
    fn redirection(&mut self, to: &mut Vec<Redirection>) -> Result<bool, String> {
        let start = self.at;
        let both = self.take("&>");
        let given = match (self.peek(), self.after(1)) {
            (Some(c @ '0'..='2'), Some('<' | '>')) if !both => {
                self.at += 1;
                c.to_digit(10).and_then(|digit| u8::try_from(digit).ok())
            }
            _ => None,
        };
        let (output, append) = match () {
            () if both => (true, false),
            () if self.take(">>") => (true, true),
            () if self.take(">") => (true, false),
            () if self.take("<") => (false, false),
            () => {
                self.at = start;
                return Ok(false);
            }
        };
        let descriptor = given.unwrap_or(u8::from(output));
        if !both && self.take("&") {
            let Some(digit) = self.peek().and_then(|c| c.to_digit(10)) else {
                return Err("Syntax error: Bad fd number".to_owned());
            };
            self.at += 1;
            to.push(Redirection { descriptor, how: How::As(u8::try_from(digit).unwrap_or_default()) });
            return Ok(true);
        }
        self.spaces();
        let word = self.word()?.ok_or("Syntax error: newline unexpected")?;
        let how = match (output, append) {
            (true, true) => How::Append(word),
            (true, false) => How::Write(word),
            (false, _) => How::Read(word),
        };
        to.push(Redirection { descriptor, how });
        if both {
            to.push(Redirection { descriptor: 2, how: How::As(1) });
        }
        Ok(true)
    }

    fn word(&mut self) -> Result<Option<Word>, String> {
        let mut word: Word = Vec::new();
        let mut plain = String::new();
        let flush = |word: &mut Word, plain: &mut String| {
            if !plain.is_empty() {
                word.push(Part::Text { text: std::mem::take(plain), quoted: false });
            }
        };
        while let Some(c) = self.peek() {
            match c {
                ' ' | '\t' | '\n' | ';' | '&' | '|' | '<' | '>' | '(' | ')' => break,
                '\'' => {
                    flush(&mut word, &mut plain);
                    self.at += 1;
                    let mut text = String::new();
                    loop {
                        match self.peek() {
                            None => return Err("Syntax error: Unterminated quoted string".to_owned()),
                            Some('\'') => break,
                            Some(c) => text.push(c),
                        }
                        self.at += 1;
                    }
                    self.at += 1;
                    word.push(Part::Text { text, quoted: true });
                }
                '"' => {
                    flush(&mut word, &mut plain);
                    self.at += 1;
                    self.double_quoted(&mut word)?;
                }
                '\\' => {
                    self.at += 1;
                    flush(&mut word, &mut plain);
                    match self.peek() {
                        Some('\n') => {}
                        Some(c) => word.push(Part::Text { text: c.to_string(), quoted: true }),
                        None => word.push(Part::Text { text: "\\".to_owned(), quoted: true }),
                    }
                    self.at += 1;
                }
                '$' => {
                    flush(&mut word, &mut plain);
                    word.push(self.dollar(false)?);
                }
                '}' if word.is_empty() && plain.is_empty() => break,
                c => {
                    plain.push(c);
                    self.at += 1;
                }
            }
        }
        flush(&mut word, &mut plain);
        Ok((!word.is_empty()).then_some(word))
    }

    fn double_quoted(&mut self, word: &mut Word) -> Result<(), String> {
        let mut text = String::new();
        loop {
            match self.peek() {
                None => return Err("Syntax error: Unterminated quoted string".to_owned()),
                Some('"') => break,
                Some('\\') => match self.after(1) {
                    Some(c @ ('$' | '"' | '\\' | '`')) => {
                        text.push(c);
                        self.at += 2;
                    }
                    Some('\n') => self.at += 2,
                    _ => {
                        text.push('\\');
                        self.at += 1;
                    }
                },
                Some('$') => {
                    word.push(Part::Text { text: std::mem::take(&mut text), quoted: true });
                    word.push(self.dollar(true)?);
                }
                Some(c) => {
                    text.push(c);
                    self.at += 1;
                }
            }
        }
        self.at += 1;
        word.push(Part::Text { text, quoted: true });
        Ok(())
    }

    fn dollar(&mut self, quoted: bool) -> Result<Part, String> {
        self.at += 1;
        let name = match self.peek() {
            Some('(') => {
                self.at += 1;
                let script = self.script(&[')'])?;
                self.lines();
                if !self.take(")") {
                    return Err("Syntax error: end of file unexpected (expecting \")\")".to_owned());
                }
                return Ok(Part::Output { script, quoted });
            }
            Some('{') => {
                self.at += 1;
                let name = self.name();
                if !self.take("}") {
                    return Err("Bad substitution".to_owned());
                }
                name
            }
            Some(c @ ('?' | '$' | '0'..='9' | '#')) => {
                self.at += 1;
                c.to_string()
            }
            _ => self.name(),
        };
        Ok(match name.is_empty() {
            true => Part::Text { text: "$".to_owned(), quoted: true },
            false => Part::Variable { name, quoted },
        })
    }

    fn name(&mut self) -> String {
        let mut name = String::new();
        while let Some(c) = self.peek().filter(|c| c.is_ascii_alphanumeric() || *c == '_') {
            name.push(c);
            self.at += 1;
        }
        name
    }
}

/// `NAME=word`.
fn assignment(word: &Word) -> Option<(String, Word)> {
    let Part::Text { text, quoted: false } = word.first()? else { return None };
    let (name, rest) = text.split_once('=')?;
    let starts = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    if !starts || !name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
        return None;
    }
    let first = Part::Text { text: rest.to_owned(), quoted: false };
    let value = std::iter::once(first).chain(word.iter().skip(1).cloned()).collect();
    Some((name.to_owned(), value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_script_is_refused_and_ends() {
        for broken in ["'a", "\"a", "a |", "| a", "a &&", "(a", "{ a; ", "a ; ;", ")", "a >", "$(a", "${a", "a > 2>&x"]
        {
            assert!(parse(broken).is_err(), "{broken}");
        }
        assert!(parse(&"(".repeat(10_000)).is_err());
    }

    #[test]
    fn scripts_are_read() {
        for fine in [
            "",
            "\n\n# nothing\n",
            "a;b",
            "a && b || c",
            "{ a; b\n} >x 2>&1 </dev/null",
            "(a | b) 2>/dev/null &",
            "A=1 B='2 3' c",
        ] {
            assert!(parse(fine).is_ok(), "{fine}");
        }
        assert_eq!(parse("a; b & c").unwrap().len(), 3);
    }
}
