//! The grammar of the command processor of Windows: quotes, carets, groups, pipes and redirections.

/// A command line, taken apart.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Node {
    Simple { text: String, redirections: Vec<Redirection> },
    Group { lines: Vec<Step>, redirections: Vec<Redirection> },
}

#[derive(Debug, Clone, PartialEq)]
pub(super) struct Step {
    /// How the one before must have ended; `None` where that does not matter.
    pub(super) after: Option<bool>,
    pub(super) pipe: Vec<Node>,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) struct Redirection {
    pub(super) descriptor: u8,
    pub(super) to: To,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum To {
    File { path: String, append: bool },
    Input(String),
    As(u8),
}

/// Takes a line apart.
pub(super) fn parse(line: &str) -> Result<Vec<Step>, String> {
    let mut reader = Reader { text: line.chars().collect(), at: 0, depth: 0 };
    let steps = reader.steps(false)?;
    match reader.peek() {
        None => Ok(steps),
        Some(c) => Err(format!("{c} was unexpected at this time.\r\n")),
    }
}

struct Reader {
    text: Vec<char>,
    at: usize,
    depth: usize,
}

impl Reader {
    fn peek(&self) -> Option<char> {
        self.text.get(self.at).copied()
    }

    fn next(&mut self) -> Option<char> {
        let next = self.peek();
        self.at += usize::from(next.is_some());
        next
    }

    fn spaces(&mut self) {
        while self.peek().is_some_and(char::is_whitespace) {
            self.at += 1;
        }
    }

    fn steps(&mut self, within: bool) -> Result<Vec<Step>, String> {
        let mut steps = Vec::new();
        let mut after = None;
        loop {
            self.spaces();
            if self.peek().is_none() || within && self.peek() == Some(')') {
                return Ok(steps);
            }
            let mut pipe = vec![self.node(within)?];
            while self.peek() == Some('|') && self.text.get(self.at + 1) != Some(&'|') {
                self.at += 1;
                pipe.push(self.node(within)?);
            }
            steps.push(Step { after, pipe });
            after = match (self.peek(), self.text.get(self.at + 1)) {
                (Some('&'), Some('&')) => Some(true),
                (Some('|'), Some('|')) => Some(false),
                (Some('&'), _) => None,
                _ => return Ok(steps),
            };
            self.at += if after.is_some() { 2 } else { 1 };
        }
    }

    fn node(&mut self, within: bool) -> Result<Node, String> {
        self.spaces();
        let mut redirections = Vec::new();
        if self.peek() == Some('(') {
            self.at += 1;
            self.depth += 1;
            if self.depth > 20 {
                return Err("The maximum depth was reached.\r\n".to_owned());
            }
            let lines = self.steps(true)?;
            if self.next() != Some(')') {
                return Err("The syntax of the command is incorrect.\r\n".to_owned());
            }
            self.depth -= 1;
            loop {
                self.spaces();
                if !self.redirection(None, &mut redirections)? {
                    return Ok(Node::Group { lines, redirections });
                }
            }
        }
        let mut text = String::new();
        let mut quoted = false;
        while let Some(c) = self.peek() {
            match c {
                '"' => {
                    quoted = !quoted;
                    text.push(c);
                    self.at += 1;
                }
                '^' if !quoted => {
                    self.at += 1;
                    text.extend(self.next());
                }
                '&' | '|' if !quoted => break,
                ')' if !quoted && within => break,
                '<' | '>' if !quoted => {
                    // A digit before it is the descriptor, if it stands alone.
                    let mut letters = text.chars().rev();
                    let digit = letters.next().and_then(|c| c.to_digit(10)).filter(|digit| *digit < 3);
                    let alone = letters.next().is_none_or(char::is_whitespace);
                    let descriptor = digit.filter(|_| alone).and_then(|digit| u8::try_from(digit).ok());
                    if descriptor.is_some() {
                        text.pop();
                    }
                    self.redirection(descriptor, &mut redirections)?;
                }
                c => {
                    text.push(c);
                    self.at += 1;
                }
            }
        }
        if text.trim().is_empty() && redirections.is_empty() {
            let unexpected = self.peek().map_or_else(|| "The syntax".to_owned(), String::from);
            return Err(format!("{unexpected} was unexpected at this time.\r\n"));
        }
        Ok(Node::Simple { text, redirections })
    }

    fn redirection(&mut self, descriptor: Option<u8>, to: &mut Vec<Redirection>) -> Result<bool, String> {
        let descriptor = descriptor.or_else(|| {
            let digit = self.peek().and_then(|c| c.to_digit(10)).filter(|digit| *digit < 3)?;
            let follows = matches!(self.text.get(self.at + 1), Some('<' | '>'));
            self.at += usize::from(follows);
            u8::try_from(digit).ok().filter(|_| follows)
        });
        let input = match self.peek() {
            Some('<') => true,
            Some('>') => false,
            _ => return Ok(false),
        };
        self.at += 1;
        let append = !input && self.peek() == Some('>');
        self.at += usize::from(append);
        if self.peek() == Some('&') {
            self.at += 1;
            let digit = self.next().and_then(|c| c.to_digit(10)).and_then(|digit| u8::try_from(digit).ok());
            let digit = digit.ok_or("The syntax of the command is incorrect.\r\n")?;
            to.push(Redirection { descriptor: descriptor.unwrap_or(1), to: To::As(digit) });
            return Ok(true);
        }
        self.spaces();
        let mut path = String::new();
        let mut quoted = false;
        while let Some(c) = self.peek() {
            match c {
                '"' => quoted = !quoted,
                c if !quoted && (c.is_whitespace() || "&|<>()".contains(c)) => break,
                c => path.push(c),
            }
            self.at += 1;
        }
        if path.is_empty() {
            return Err("The syntax of the command is incorrect.\r\n".to_owned());
        }
        let to_where = if input { To::Input(path) } else { To::File { path, append } };
        to.push(Redirection { descriptor: descriptor.unwrap_or(u8::from(!input)), to: to_where });
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_and_carets_hide_signs() {
        let steps = parse("echo \"a & b\" ^& c & dir 2>&1 >\"C:\\a b\" | find \"x\"").unwrap();
        assert_eq!(steps.len(), 2);
        assert_eq!(steps[1].pipe.len(), 2);
        let Node::Simple { text, .. } = &steps[0].pipe[0] else { panic!("{steps:?}") };
        assert_eq!(text.trim(), "echo \"a & b\" & c");
        for broken in ["(a", "a >", "& a", "a || | b"] {
            assert!(parse(broken).is_err(), "{broken}");
        }
        assert!(parse(&"(".repeat(10_000)).is_err());
    }
}
