//! Keys that are typed on the console of a VM.

use std::fmt;

use serde::Serialize;
use vsphere_model::managed::VirtualMachine;
use vsphere_model::types::{UsbScanCodeSpec, UsbScanCodeSpecKeyEvent, UsbScanCodeSpecModifierType};

use super::layout::{ENTER, Layout, SPACE, Stroke, TAB};
use crate::error::{Error, ErrorKind, Result, invalid};
use crate::mo::Mo;

const OPERATION: &str = "type on the console of";

/// How many keys go with one request.
const AT_ONCE: usize = 32;

/// How many keys are typed with one call at most.
const MOST: usize = 4096;

/// Keys to type. What they are is in no debug output: it may be a password.
///
/// ```
/// use vsphere_ops::console::{Keys, Layout};
///
/// let login = Keys::text("root\n", Layout::Us)?.then(Keys::named("ctrl-alt-f2")?);
/// assert_eq!(login.count(), 6);
/// # Ok::<(), vsphere_ops::Error>(())
/// ```
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Keys {
    strokes: Vec<Stroke>,
}

/// What was typed.
///
/// ```
/// use vsphere_ops::console::Typed;
///
/// fn line(typed: &Typed) -> String {
///     format!("{} of {} keys went to {}", typed.sent, typed.keys, typed.vm)
/// }
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Typed {
    /// The VM's name.
    pub vm: String,
    /// Its managed object id.
    pub id: String,
    /// How many keys were to be sent.
    pub keys: usize,
    /// How many of them the VM took.
    pub sent: usize,
}

impl Keys {
    /// The keys that write a text; a new line is the Enter key.
    ///
    /// # Errors
    /// `invalid_argument` for a character that the keyboard has no key for.
    pub fn text(text: &str, layout: Layout) -> Result<Self> {
        let mut strokes = Vec::new();
        for (at, character) in text.chars().enumerate() {
            // The character itself may be part of a password.
            let unknown = || {
                let text = format!("character {} of the text is on no key of this keyboard", at + 1);
                invalid("read the keys", text)
            };
            strokes.extend(layout.strokes(character).ok_or_else(unknown)?);
        }
        Ok(Self { strokes })
    }

    /// One key by its name, such as `enter`, `f2`, `up` or a letter, or a chord such as `ctrl-alt-delete`.
    ///
    /// ```
    /// use vsphere_ops::console::Keys;
    ///
    /// for chord in ["enter", "Ctrl+Alt+Delete", "alt-f4", "shift-tab", "ctrl--"] {
    ///     assert_eq!(Keys::named(chord)?.count(), 1, "{chord}");
    /// }
    /// # Ok::<(), vsphere_ops::Error>(())
    /// ```
    ///
    /// # Errors
    /// `invalid_argument` with the names that there are.
    pub fn named(chord: &str) -> Result<Self> {
        let chord = chord.trim().to_ascii_lowercase();
        let mut stroke = Stroke::default();
        let mut rest = chord.as_str();
        // The last key may be a sign itself: `ctrl--`.
        while let Some((held, next)) =
            rest.split_once(['-', '+']).filter(|(held, next)| !(held.is_empty() || next.is_empty()))
        {
            match held {
                "ctrl" | "control" => stroke.control = true,
                "alt" => stroke.alt = true,
                "altgr" => stroke.alt_gr = true,
                "shift" => stroke.shift = true,
                "win" | "super" | "cmd" => stroke.gui = true,
                _ => return Err(unknown(&chord)),
            }
            rest = next;
        }
        let mut letters = rest.chars();
        let key = match (letters.next(), letters.next()) {
            (Some(letter), None) => match Layout::Us.strokes(letter).as_deref() {
                Some([key]) => *key,
                _ => return Err(unknown(&chord)),
            },
            _ => Stroke::plain(code(rest).ok_or_else(|| unknown(&chord))?),
        };
        stroke.code = key.code;
        stroke.shift |= key.shift;
        Ok(Self { strokes: vec![stroke] })
    }

    /// These keys, and others after them.
    #[must_use]
    pub fn then(mut self, others: Self) -> Self {
        self.strokes.extend(others.strokes);
        self
    }

    /// How many keys are pressed.
    pub fn count(&self) -> usize {
        self.strokes.len()
    }
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Keys({})", self.strokes.len())
    }
}

fn unknown(chord: &str) -> Error {
    let names = KEYS.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ");
    let text = format!(
        "{chord:?} is no key: there are f1 to f12, {names}, letters, digits and signs, after ctrl-, alt-, altgr-, shift- or win-"
    );
    invalid("read the keys", text)
}

fn code(name: &str) -> Option<u8> {
    if let Some(number) = name.strip_prefix('f').and_then(|number| number.parse::<u8>().ok()) {
        /// The key before `F1`.
        const BEFORE_F1: u8 = 0x39;
        return (1..=12).contains(&number).then_some(BEFORE_F1 + number);
    }
    let found = KEYS.iter().find(|(known, _)| *known == name);
    found.map(|(_, code)| *code).or_else(|| OTHER_NAMES.iter().find(|(known, _)| *known == name).map(|(_, code)| *code))
}

/// The keys that write nothing, by their codes on a USB keyboard.
const KEYS: &[(&str, u8)] = &[
    ("enter", ENTER),
    ("esc", 0x29),
    ("backspace", 0x2a),
    ("tab", TAB),
    ("space", SPACE),
    ("insert", 0x49),
    ("delete", 0x4c),
    ("home", 0x4a),
    ("end", 0x4d),
    ("pageup", 0x4b),
    ("pagedown", 0x4e),
    ("up", 0x52),
    ("down", 0x51),
    ("left", 0x50),
    ("right", 0x4f),
    ("capslock", 0x39),
    ("numlock", 0x53),
    ("scrolllock", 0x47),
    ("printscreen", 0x46),
    ("pause", 0x48),
    ("menu", 0x65),
    ("win", 0xe3),
];

const OTHER_NAMES: &[(&str, u8)] = &[
    ("return", ENTER),
    ("escape", 0x29),
    ("del", 0x4c),
    ("ins", 0x49),
    ("pgup", 0x4b),
    ("pgdn", 0x4e),
    ("super", 0xe3),
    ("cmd", 0xe3),
];

impl Mo<VirtualMachine> {
    /// Types keys on the console of the VM, which must run. They are sent in order, as many at a time as the VM takes.
    ///
    /// Whatever waits for keys on the console gets them, and nothing tells whether anything does.
    ///
    /// ```
    /// # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
    /// use vsphere_ops::console::{Keys, Layout};
    /// use vsphere_ops::managed::VirtualMachine;
    ///
    /// let web = client.get::<VirtualMachine>("web-01").await?;
    /// let typed = web.type_keys(&Keys::text("root\n", Layout::Us)?).await?;
    /// assert_eq!((typed.keys, typed.sent), (5, 5));
    /// # Ok(())
    /// # }
    /// # mod sim { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/documented.rs")); }
    /// # sim::documented(run);
    /// ```
    ///
    /// # Errors
    /// `invalid_argument` for no key or more than 4,096, the fault `InvalidPowerState` of a VM that does not run,
    /// `invalid_state` with a count where the VM takes no more, and server errors.
    pub async fn type_keys(&self, keys: &Keys) -> Result<Typed> {
        let named = |error: Error| error.in_operation(OPERATION).on(self.label());
        let count = keys.count();
        if count == 0 || count > MOST {
            return Err(named(invalid(OPERATION, format!("{count} keys are not between 1 and {MOST}"))));
        }
        let mut sent = 0;
        while let Some(left) = keys.strokes.get(sent..).filter(|left| !left.is_empty()) {
            let key_events: Vec<_> = left.iter().take(AT_ONCE).map(event).collect();
            let asked = key_events.len();
            let taken = self.put_usb_scan_codes(&UsbScanCodeSpec { key_events }).await;
            let taken = taken.map_err(|error| match sent {
                0 => named(Error::from(error)),
                _ => named(Error::from(error).in_operation(format!("{OPERATION} (after {sent} of {count} keys)"))),
            })?;
            let taken = usize::try_from(taken).unwrap_or_default().min(asked);
            if taken == 0 {
                let text = format!("the VM took {sent} of {count} keys, and then no more");
                return Err(named(Error::new(OPERATION, ErrorKind::InvalidState(text))));
            }
            sent += taken;
        }
        Ok(Typed { vm: self.label().to_owned(), id: self.id().to_owned(), keys: count, sent })
    }
}

/// A key as the API has it: its code, and below it the page of USB's tables that it is from.
fn event(stroke: &Stroke) -> UsbScanCodeSpecKeyEvent {
    const KEYBOARD: i32 = 7;
    let held = |held: bool| held.then_some(true);
    let modifiers = UsbScanCodeSpecModifierType {
        left_control: held(stroke.control),
        left_shift: held(stroke.shift),
        left_alt: held(stroke.alt),
        right_alt: held(stroke.alt_gr),
        left_gui: held(stroke.gui),
        ..Default::default()
    };
    let any = stroke.control || stroke.shift || stroke.alt || stroke.alt_gr || stroke.gui;
    UsbScanCodeSpecKeyEvent {
        usb_hid_code: i32::from(stroke.code) << 16 | KEYBOARD,
        modifiers: any.then(|| Box::new(modifiers)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn only(chord: &str) -> Stroke {
        Keys::named(chord).unwrap().strokes[0]
    }

    #[test]
    fn chords_hold_keys_down() {
        let attention = only("ctrl-alt-delete");
        assert_eq!((attention.code, attention.control, attention.alt, attention.shift), (0x4c, true, true, false));
        assert_eq!(only("CTRL+ALT+DEL"), attention);
        assert_eq!(only("ctrl-C"), Stroke { control: true, ..Stroke::plain(6) });
        assert_eq!((only("ctrl--").code, only("ctrl-+").code, only("-").code), (0x2d, 0x2e, 0x2d));
        assert_eq!((only("f1").code, only("F12").code, only("win").code, only("win-r").gui), (0x3a, 0x45, 0xe3, true));
        for wrong in ["", "f13", "f0", "ctrl-", "hyper-a", "enterr", "ctrl-alt", "é"] {
            let error = Keys::named(wrong).unwrap_err();
            assert!(error.code() == "invalid_argument" && error.to_string().contains("pageup"), "{wrong}: {error}");
        }
    }

    #[test]
    fn what_is_typed_does_not_show() {
        let keys = Keys::text("secret", Layout::Us).unwrap();
        assert_eq!(format!("{keys:?}"), "Keys(6)");
        let error = Keys::text("geheim€", Layout::Us).unwrap_err().to_string();
        assert!(error.contains("character 7") && !error.contains('€'), "{error}");
    }

    #[test]
    fn events_are_as_the_api_has_them() {
        let keys = Keys::text("aA", Layout::Us).unwrap();
        let events: Vec<_> = keys.strokes.iter().map(event).collect();
        assert_eq!((events[0].usb_hid_code, events[0].modifiers.is_none()), (0x0004_0007, true));
        assert_eq!(events[1].modifiers.as_ref().unwrap().left_shift, Some(true));
    }
}
