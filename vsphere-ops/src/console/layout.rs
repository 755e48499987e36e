//! Where characters are on a keyboard, as the guest is set to read it.

use serde::{Deserialize, Serialize};

/// The layout of the keyboard that the guest is set to: a VM is sent keys, and the guest makes characters of them.
///
/// ```
/// use vsphere_ops::console::{Keys, Layout};
///
/// assert!(Keys::text("größe", Layout::De).is_ok());
/// assert!(Keys::text("größe", Layout::Us).is_err()); // this keyboard has no such keys
/// assert_eq!(Layout::default(), Layout::Us);
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(inline))]
pub enum Layout {
    /// American.
    #[default]
    Us,
    /// German.
    De,
}

/// A key with what is held down beside it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Stroke {
    /// By the table of keyboards of USB.
    pub(super) code: u8,
    pub(super) shift: bool,
    pub(super) control: bool,
    pub(super) alt: bool,
    /// The right Alt key, which gives a third character.
    pub(super) alt_gr: bool,
    /// The key with a window or a command sign on it.
    pub(super) gui: bool,
}

impl Stroke {
    pub(super) const fn plain(code: u8) -> Self {
        Self { code, shift: false, control: false, alt: false, alt_gr: false, gui: false }
    }
}

pub(super) const ENTER: u8 = 0x28;
pub(super) const TAB: u8 = 0x2b;
pub(super) const SPACE: u8 = 0x2c;

/// Keys with the characters that they give plain, with Shift and with the right Alt key. Where there is none stands a space.
type Row = (u8, char, char, char);

/// The keys of the letters, where both layouts agree.
const LETTERS: &str = "abcdefghijklmnopqrstuvwxyz";
const FIRST_LETTER: u8 = 0x04;

const US: &[Row] = &[
    (0x1e, '1', '!', ' '),
    (0x1f, '2', '@', ' '),
    (0x20, '3', '#', ' '),
    (0x21, '4', '$', ' '),
    (0x22, '5', '%', ' '),
    (0x23, '6', '^', ' '),
    (0x24, '7', '&', ' '),
    (0x25, '8', '*', ' '),
    (0x26, '9', '(', ' '),
    (0x27, '0', ')', ' '),
    (0x2d, '-', '_', ' '),
    (0x2e, '=', '+', ' '),
    (0x2f, '[', '{', ' '),
    (0x30, ']', '}', ' '),
    (0x31, '\\', '|', ' '),
    (0x33, ';', ':', ' '),
    (0x34, '\'', '"', ' '),
    (0x35, '`', '~', ' '),
    (0x36, ',', '<', ' '),
    (0x37, '.', '>', ' '),
    (0x38, '/', '?', ' '),
];

const DE: &[Row] = &[
    (0x1e, '1', '!', ' '),
    (0x1f, '2', '"', '²'),
    (0x20, '3', '§', '³'),
    (0x21, '4', '$', ' '),
    (0x22, '5', '%', ' '),
    (0x23, '6', '&', ' '),
    (0x24, '7', '/', '{'),
    (0x25, '8', '(', '['),
    (0x26, '9', ')', ']'),
    (0x27, '0', '=', '}'),
    (0x2d, 'ß', '?', '\\'),
    (0x2f, 'ü', 'Ü', ' '),
    (0x30, '+', '*', '~'),
    (0x31, '#', '\'', ' '),
    (0x33, 'ö', 'Ö', ' '),
    (0x34, 'ä', 'Ä', ' '),
    (0x36, ',', ';', ' '),
    (0x37, '.', ':', ' '),
    (0x38, '-', '_', ' '),
    (0x64, '<', '>', '|'),
    (0x14, 'q', 'Q', '@'),
    (0x08, 'e', 'E', '€'),
    (0x10, 'm', 'M', 'µ'),
];

/// Keys that wait for a letter to put their sign on. With the space bar they give the sign alone.
const DEAD_DE: &[Row] = &[(0x35, '^', ' ', ' '), (0x2e, '´', '`', ' ')];

impl Layout {
    /// The strokes that give a character, one or two; `None` where the keyboard has no key for it.
    pub(super) fn strokes(self, character: char) -> Option<Vec<Stroke>> {
        match character {
            '\n' | '\r' => return Some(vec![Stroke::plain(ENTER)]),
            '\t' => return Some(vec![Stroke::plain(TAB)]),
            ' ' => return Some(vec![Stroke::plain(SPACE)]),
            _ => {}
        }
        if let Some(stroke) = self.letter(character) {
            return Some(vec![stroke]);
        }
        match self {
            Self::Us => find(US, character).map(|stroke| vec![stroke]),
            Self::De if character == '°' => Some(vec![Stroke { shift: true, ..Stroke::plain(0x35) }]),
            Self::De => find(DE, character)
                .map(|stroke| vec![stroke])
                .or_else(|| find(DEAD_DE, character).map(|stroke| vec![stroke, Stroke::plain(SPACE)])),
        }
    }

    fn letter(self, character: char) -> Option<Stroke> {
        let lower = character.to_ascii_lowercase();
        let lower = match (self, lower) {
            (Self::De, 'y') => 'z',
            (Self::De, 'z') => 'y',
            _ => lower,
        };
        let at = u8::try_from(LETTERS.find(lower)?).ok()?;
        let code = FIRST_LETTER.checked_add(at)?;
        Some(Stroke { shift: character.is_ascii_uppercase(), ..Stroke::plain(code) })
    }
}

fn find(rows: &[Row], character: char) -> Option<Stroke> {
    let stroke = |row: &Row| {
        let (code, plain, shifted, third) = *row;
        match character {
            _ if character == plain => Some(Stroke::plain(code)),
            _ if character == shifted => Some(Stroke { shift: true, ..Stroke::plain(code) }),
            _ if character == third => Some(Stroke { alt_gr: true, ..Stroke::plain(code) }),
            _ => None,
        }
    };
    rows.iter().find_map(stroke)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_layout_has_all_of_ascii_and_two_characters_are_two_strokes() {
        for layout in [Layout::Us, Layout::De] {
            let mut seen = Vec::new();
            for character in (' '..='~').chain(['\n', '\t']) {
                let strokes = layout.strokes(character).unwrap_or_else(|| panic!("{character:?} in {layout:?}"));
                let key: Vec<_> = strokes.iter().map(|it| (it.code, it.shift, it.alt_gr)).collect();
                assert!(!seen.contains(&key), "{character:?} in {layout:?}");
                seen.push(key);
            }
        }
        assert_eq!(Layout::Us.strokes('ä'), None);
        assert_eq!(Layout::De.strokes('日'), None);
    }

    #[test]
    fn a_german_keyboard_has_its_own_places() {
        let keys = |text: &str| -> Vec<(u8, bool, bool)> {
            let strokes = text.chars().flat_map(|character| Layout::De.strokes(character).unwrap());
            strokes.map(|stroke| (stroke.code, stroke.shift, stroke.alt_gr)).collect()
        };
        assert_eq!(keys("yZ"), [(0x1d, false, false), (0x1c, true, false)]);
        assert_eq!(keys("@\\€"), [(0x14, false, true), (0x2d, false, true), (0x08, false, true)]);
        assert_eq!(keys("^"), [(0x35, false, false), (SPACE, false, false)]);
        assert_eq!(keys("`"), [(0x2e, true, false), (SPACE, false, false)]);
    }
}
