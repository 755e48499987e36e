//! Splits an XML document into tags, texts and references.
//!
//! It reads what servers write and no more: names and attributes are cut out, not checked, and document type declarations
//! are refused. General tokenizers copy the name of each open element and check the encoding of each piece; here the
//! document is checked once, so that names and texts are parts of it. Decoding takes half the time.

use super::DecodeError;

/// A piece of a document.
pub(super) enum Token<'a> {
    /// A start tag: what stands between its brackets, and how long the name is.
    Start { tag: &'a str, name: usize },
    /// The end of the innermost open element.
    End,
    /// Text as it stands, or the content of a CDATA section.
    Text(&'a str),
    /// An entity or character reference, without `&` and `;`.
    Reference(&'a str),
    /// A comment or a processing instruction.
    Nothing,
    /// The end of the document.
    Eof,
}

/// The tokens of a document, from front to back.
pub(super) struct Tokens<'a> {
    /// The document as far as it is UTF-8.
    text: &'a str,
    at: usize,
    /// Whether something that is not UTF-8 follows.
    is_cut: bool,
    /// The names of the open elements.
    open: Vec<&'a str>,
    /// Whether the last tag was of an empty element, whose end is due.
    is_empty: bool,
}

impl<'a> Tokens<'a> {
    /// The tokens of `document`, after its byte order mark.
    pub(super) fn new(document: &'a [u8]) -> Self {
        let (text, is_cut) = match std::str::from_utf8(document) {
            Ok(text) => (text, false),
            Err(e) => (std::str::from_utf8(&document[..e.valid_up_to()]).unwrap_or_default(), true),
        };
        let at = if text.starts_with('\u{feff}') { '\u{feff}'.len_utf8() } else { 0 };
        Self { text, at, is_cut, open: Vec::new(), is_empty: false }
    }

    /// The document up to here.
    pub(super) fn before(&self) -> &'a str {
        &self.text[..self.at]
    }

    /// The document from here on, as far as it is UTF-8.
    pub(super) fn after(&self) -> &'a str {
        &self.text[self.at..]
    }

    /// How many bytes of the document were read.
    pub(super) fn position(&self) -> u64 {
        self.at as u64
    }

    /// The next token.
    #[inline(always)]
    pub(super) fn next(&mut self) -> Result<Token<'a>, DecodeError> {
        if self.is_empty {
            self.is_empty = false;
            self.open.pop();
            return Ok(Token::End);
        }
        match self.rest() {
            [b'<', b'/', ..] => self.end_tag(),
            [b'<', b'!' | b'?', ..] => self.other(),
            [b'<', ..] => self.start_tag(),
            [b'&', ..] => self.reference(),
            [] if self.is_cut => Err(self.unfinished("")),
            [] => Ok(Token::Eof),
            rest => {
                let length = markup(rest).unwrap_or(rest.len());
                Ok(Token::Text(self.take(length)))
            }
        }
    }

    /// The text from here to the end of the innermost element, and passes over both: where nothing else is in between, as
    /// in most elements.
    #[inline]
    pub(super) fn plain_text(&mut self) -> Option<&'a str> {
        let rest = self.rest();
        let length = markup(rest).filter(|_| !self.is_empty)?;
        let name = *self.open.last()?;
        let end = rest[length..].strip_prefix(b"</")?.strip_prefix(name.as_bytes())?;
        if end.first() != Some(&b'>') {
            return None;
        }
        let text = self.take(length);
        self.at += name.len() + 3;
        self.open.pop();
        Some(text)
    }

    fn rest(&self) -> &'a [u8] {
        &self.text.as_bytes()[self.at..]
    }

    /// Passes over so many bytes, and gives them.
    #[inline]
    fn take(&mut self, length: usize) -> &'a str {
        let text = &self.text[self.at..self.at + length];
        self.at += length;
        text
    }

    #[cold]
    fn error(&self, message: impl Into<String>) -> DecodeError {
        DecodeError::new(message, self.position())
    }

    /// An error about what does not end: the document does not, or it has something that is not UTF-8 first.
    #[cold]
    fn unfinished(&self, message: &str) -> DecodeError {
        if self.is_cut {
            return DecodeError::new("the document is not UTF-8", self.text.len() as u64);
        }
        self.error(message)
    }

    #[inline]
    fn start_tag(&mut self) -> Result<Token<'a>, DecodeError> {
        let inner = &self.rest()[1..];
        let name = inner.iter().position(|byte| matches!(byte, b'>' | b'/') || byte.is_ascii_whitespace());
        let Some(name) = name else { return Err(self.unfinished("a tag does not end")) };
        if name == 0 {
            return Err(self.error("a tag has no name"));
        }
        let (mut length, mut is_empty) = (name, false);
        if inner[name] != b'>' {
            match tag_end(&inner[name..]) {
                Some(more) => length += more,
                None => return Err(self.unfinished("a tag does not end")),
            }
            is_empty = inner[length - 1] == b'/';
            if inner[name] == b'/' && !(is_empty && name + 1 == length) {
                return Err(self.error("the name of an element is malformed"));
            }
        }
        self.at += 1;
        let tag = self.take(length);
        self.at += 1;
        self.open.push(&tag[..name]);
        self.is_empty = is_empty;
        Ok(Token::Start { tag: if is_empty { &tag[..length - 1] } else { tag }, name })
    }

    #[inline]
    fn end_tag(&mut self) -> Result<Token<'a>, DecodeError> {
        let inner = &self.rest()[2..];
        if let Some(name) = self.open.last()
            && inner.strip_prefix(name.as_bytes()).is_some_and(|rest| rest.first() == Some(&b'>'))
        {
            self.at += name.len() + 3;
            self.open.pop();
            return Ok(Token::End);
        }
        self.odd_end_tag()
    }

    /// An end tag with white space after its name, or one that does not belong here.
    #[cold]
    fn odd_end_tag(&mut self) -> Result<Token<'a>, DecodeError> {
        let inner = &self.text[self.at + 2..];
        let Some(length) = inner.find('>') else { return Err(self.unfinished("a tag does not end")) };
        let found = inner[..length].trim_ascii_end();
        match self.open.pop() {
            Some(name) if name == found => {
                self.at += length + 3;
                Ok(Token::End)
            }
            Some(name) => Err(self.error(format!("expected </{name}>, found </{found}>"))),
            None => Err(self.error(format!("</{found}> ends what was not begun"))),
        }
    }

    /// A comment, a CDATA section, a processing instruction or a declaration.
    #[cold]
    fn other(&mut self) -> Result<Token<'a>, DecodeError> {
        let rest = &self.text[self.at..];
        for (open, close, is_text) in [("<!--", "-->", false), ("<![CDATA[", "]]>", true), ("<?", "?>", false)] {
            if let Some(inner) = rest.strip_prefix(open) {
                let Some(length) = inner.find(close) else {
                    return Err(self.unfinished(&format!("no {close} follows {open}")));
                };
                self.at += open.len() + length + close.len();
                return Ok(if is_text { Token::Text(&inner[..length]) } else { Token::Nothing });
            }
        }
        Err(self.error("a document type declaration is not allowed"))
    }

    #[cold]
    fn reference(&mut self) -> Result<Token<'a>, DecodeError> {
        let inner = &self.text[self.at + 1..];
        match inner.find([';', '<', '&']) {
            Some(length) if inner.as_bytes()[length] == b';' => {
                self.at += length + 2;
                Ok(Token::Reference(&inner[..length]))
            }
            Some(_) => Err(self.error("a reference does not end with a semicolon")),
            None => Err(self.unfinished("a reference does not end with a semicolon")),
        }
    }
}

/// Where the first `<` or `&` is, eight bytes at a time.
#[inline]
fn markup(bytes: &[u8]) -> Option<usize> {
    const ONES: u64 = u64::MAX / 0xff;
    // The high bit of each byte that is zero, and perhaps of bytes after it.
    let zero = |word: u64| word.wrapping_sub(ONES) & !word & (ONES << 7);
    let (words, rest) = bytes.as_chunks::<8>();
    for (index, word) in words.iter().enumerate() {
        let word = u64::from_le_bytes(*word);
        let found = zero(word ^ (ONES * u64::from(b'<'))) | zero(word ^ (ONES * u64::from(b'&')));
        if found != 0 {
            return Some(index * 8 + found.trailing_zeros() as usize / 8);
        }
    }
    let at = rest.iter().position(|byte| matches!(byte, b'<' | b'&'))?;
    Some(words.len() * 8 + at)
}

/// Where the `>` is that ends a tag: one between quotation marks belongs to a value.
fn tag_end(bytes: &[u8]) -> Option<usize> {
    let mut quote = None;
    bytes.iter().position(|&byte| {
        match (quote, byte) {
            (None, b'>') => return true,
            (None, b'"' | b'\'') => quote = Some(byte),
            (Some(open), _) if open == byte => quote = None,
            _ => {}
        }
        false
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokens(document: &[u8]) -> Result<Vec<String>, String> {
        let mut tokens = Tokens::new(document);
        let mut all = Vec::new();
        loop {
            all.push(match tokens.next().map_err(|e| e.to_string())? {
                Token::Start { tag, name } => format!("<{}|{}", &tag[..name], &tag[name..]),
                Token::End => ">".to_owned(),
                Token::Text(text) => text.to_owned(),
                Token::Reference(name) => format!("&{name}"),
                Token::Nothing => "-".to_owned(),
                Token::Eof => return Ok(all),
            });
        }
    }

    #[test]
    fn a_document_is_cut_at_its_markup() {
        let document = "\u{feff}<?xml version='1.0'?><a x='>' ><!-- <b> -->one &amp; two and more text<b/><c y=\"1\"/>\
                        <![CDATA[<&]]></a >";
        let expected =
            ["-", "<a| x='>' ", "-", "one ", "&amp", " two and more text", "<b|", ">", "<c| y=\"1\"", ">", "<&", ">"];
        assert_eq!(tokens(document.as_bytes()).unwrap(), expected);
    }

    #[test]
    fn what_is_malformed_is_named() {
        for (document, part) in [
            (&b"<a></b>"[..], "expected </a>, found </b>"),
            (b"</b>", "</b> ends what was not begun"),
            (b"<a", "does not end"),
            (b"<a b='>", "does not end"),
            (b"<a></a", "does not end"),
            (b"<>", "no name"),
            (b"<a/b>", "malformed"),
            (b"<!-- ", "no --> follows"),
            (b"<!DOCTYPE a>", "document type declaration"),
            (b"&amp", "semicolon"),
            (b"a & b", "semicolon"),
            (b"a\xff", "not UTF-8 (at byte 1)"),
            (b"<a b='\xff'>", "not UTF-8 (at byte 6)"),
        ] {
            let error = tokens(document).unwrap_err();
            assert!(error.contains(part), "{error}");
        }
    }

    /// The same by quick-xml.
    fn by_quick_xml(document: &[u8]) -> Result<Vec<String>, String> {
        use quick_xml::events::Event;
        let mut reader = quick_xml::Reader::from_reader(document);
        reader.config_mut().expand_empty_elements = true;
        let mut all = Vec::new();
        loop {
            all.push(match reader.read_event().map_err(|e| e.to_string())? {
                // None is empty: these are expanded.
                Event::Start(tag) | Event::Empty(tag) => {
                    let name = tag.name().as_ref().len();
                    format!("<{}|{}", &tag[..name], &tag[name..])
                }
                Event::End(_) => ">".to_owned(),
                Event::Text(found) => found.to_string(),
                Event::CData(found) => found.to_string(),
                Event::GeneralRef(name) => format!("&{}", &*name),
                Event::Comment(_) | Event::PI(_) | Event::Decl(_) => "-".to_owned(),
                Event::DocType(_) => return Err("a document type declaration".to_owned()),
                Event::Eof => return Ok(all),
            });
        }
    }

    #[test]
    fn quick_xml_cuts_each_document_at_the_same_places() {
        const PARTS: [&str; 16] = [
            "<a>",
            "</a>",
            "<b/>",
            "<c d='>'>",
            "<a e=\"/\" />",
            "</a >",
            "é",
            " ",
            "&amp;",
            "&",
            "<!-- <a> -->",
            "<![CDATA[&<]]>",
            "<?f ?>",
            "<",
            ">",
            "/",
        ];
        let mut read = 0;
        for number in 0..PARTS.len().pow(4) {
            let part = |place: u32| PARTS[number / PARTS.len().pow(place) % PARTS.len()];
            let document = [part(0), part(1), part(2), part(3)].concat();
            match (tokens(document.as_bytes()), by_quick_xml(document.as_bytes())) {
                (Ok(ours), Ok(theirs)) => {
                    assert_eq!(ours, theirs, "{document}");
                    read += 1;
                }
                (Err(_), Err(_)) => {}
                // It takes what begins with a bracket and has no name for a tag.
                (Err(_), Ok(_)) if (0..4).any(|place| part(place) == "<") => {}
                (ours, theirs) => panic!("{document}: {ours:?}, {theirs:?}"),
            }
        }
        assert!(read > 10_000, "{read}");
    }

    #[test]
    fn markup_is_found_wherever_it_stands() {
        for length in 0..40 {
            for byte in ['<', '&'] {
                let text = format!("{}{byte}<&", "é=;\u{1}".repeat(length));
                assert_eq!(markup(text.as_bytes()), text.find(byte), "{length}");
                assert_eq!(markup(&text.as_bytes()[..text.len() - 3]), None);
            }
        }
    }
}
