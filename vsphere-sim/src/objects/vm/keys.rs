//! Keys, by their codes on a USB keyboard, and what a guest with an American layout makes of them.

use vsphere_model::types::{UsbScanCodeSpecKeyEvent, UsbScanCodeSpecModifierType};

/// A key that was pressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Press {
    Text(char),
    Enter,
    Back,
    /// Ctrl+Alt+Delete.
    Attention,
    /// One that writes nothing.
    Other,
}

/// The characters of the keys from `A` on, plain and with Shift.
const PLAIN: &str = "abcdefghijklmnopqrstuvwxyz1234567890";
const SHIFTED: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZ!@#$%^&*()";
const FIRST: i32 = 0x04;

/// Those of the keys from `-` on.
const SIGNS: &str = "-=[]\\#;'`,./";
const SHIFTED_SIGNS: &str = "_+{}|~:\"~<>?";
const FIRST_SIGN: i32 = 0x2d;

const ENTER: i32 = 0x28;
const BACKSPACE: i32 = 0x2a;
const SPACE: i32 = 0x2c;
const DELETE: i32 = 0x4c;

/// The key of an event of `PutUsbScanCodes`; `None` where its code is none of a keyboard.
pub(super) fn of(event: &UsbScanCodeSpecKeyEvent) -> Option<Press> {
    // The code is above, and below it is the page of the table that it is from: 7 is the keyboard.
    let (code, page) = (event.usb_hid_code >> 16, event.usb_hid_code & 0xffff);
    if page != 7 || !(1..=0xff).contains(&code) {
        return None;
    }
    let held = |held: fn(&UsbScanCodeSpecModifierType) -> [Option<bool>; 2]| {
        event.modifiers.as_deref().is_some_and(|keys| held(keys).contains(&Some(true)))
    };
    let control = held(|keys| [keys.left_control, keys.right_control]);
    let alt = held(|keys| [keys.left_alt, keys.right_alt]);
    let shift = held(|keys| [keys.left_shift, keys.right_shift]);
    Some(press(code, shift, control, alt))
}

pub(super) fn press(code: i32, shift: bool, control: bool, alt: bool) -> Press {
    match (code, control, alt) {
        (DELETE, true, true) => return Press::Attention,
        (_, true, _) | (_, _, true) => return Press::Other,
        (ENTER, ..) => return Press::Enter,
        (BACKSPACE, ..) => return Press::Back,
        (SPACE, ..) => return Press::Text(' '),
        _ => {}
    }
    let nth = |keys: &str, first: i32| keys.chars().nth(usize::try_from(code - first).ok()?);
    let found = match shift {
        false => nth(PLAIN, FIRST).or_else(|| nth(SIGNS, FIRST_SIGN)),
        true => nth(SHIFTED, FIRST).or_else(|| nth(SHIFTED_SIGNS, FIRST_SIGN)),
    };
    found.map_or(Press::Other, Press::Text)
}
