//! The screen of a machine: what its firmware, its boot loader and its guest would show, and what was typed, as a picture.

use std::convert::Infallible;
use std::time::Duration;

use embedded_graphics::draw_target::DrawTarget;
use embedded_graphics::geometry::{OriginDimensions, Point, Size};
use embedded_graphics::mono_font::{MonoTextStyle, iso_8859_1::FONT_9X15};
use embedded_graphics::pixelcolor::{Rgb888, RgbColor as _};
use embedded_graphics::text::{Baseline, Text};
use embedded_graphics::{Drawable as _, Pixel};
use vsphere_model::types::VirtualMachinePowerState::PoweredOn;

use super::keys::Press;
use super::{Vm, guest};
use crate::fault::{Fault, Outcome};
use crate::world::{Moref, World};

/// The size in pixels where no guest has set another: 80 columns of 25 lines.
const USUAL: Size = Size::new(720, 400);
const COLUMNS: usize = 80;
const LINES: usize = 25;
const LINE_HEIGHT: i32 = 16;

/// How long the firmware and the boot loader are seen, times the model's pace.
const FIRMWARE: Duration = Duration::from_secs(2);
const BOOT_MENU: Duration = Duration::from_secs(2);

/// The largest screen that is drawn, in pixels.
const LARGEST: u32 = 2560;

/// A picture: three bytes for each pixel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Picture {
    width: u32,
    height: u32,
    pixels: Vec<u8>,
}

/// Which part of a screen is wanted, and how large.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Wanted {
    pub(crate) top: Option<u32>,
    pub(crate) left: Option<u32>,
    pub(crate) bottom: Option<u32>,
    pub(crate) right: Option<u32>,
    pub(crate) width: Option<u32>,
    pub(crate) height: Option<u32>,
}

impl World {
    /// What is on the screen of a machine now.
    ///
    /// # Errors
    /// `ManagedObjectNotFound`, and `InvalidPowerState` where it does not run.
    pub(crate) fn screen(&self, vm: &Moref) -> Outcome<Picture> {
        let machine = self.get::<Vm>(vm)?;
        machine.must_be(&[PoweredOn], Some(PoweredOn))?;
        let since = machine.runtime.boot_time.map_or(chrono::TimeDelta::zero(), |boot| self.now() - boot);
        let since = since.to_std().unwrap_or_default();
        let size = machine.guest.screen.as_ref().and_then(|screen| {
            let side = |pixels: i32| u32::try_from(pixels).ok().filter(|pixels| (1..=LARGEST).contains(pixels));
            Some(Size::new(side(screen.width)?, side(screen.height)?))
        });
        Ok(Picture::of(&lines(machine, since, self.settings.pace), size.unwrap_or(USUAL)))
    }
}

/// The text on the screen of a machine that has run for so long.
fn lines(machine: &Vm, since: Duration, pace: f64) -> Vec<String> {
    let firmware = FIRMWARE.mul_f64(pace.max(0.0));
    let menu = firmware + BOOT_MENU.mul_f64(pace.max(0.0));
    let hardware = &machine.config.hardware;
    let system = machine.config.guest_full_name.clone();
    let efi = machine.config.firmware.as_deref() == Some("efi");
    let maker = if efi { "EFI firmware" } else { "BIOS" };
    let start = format!("{maker} of the simulated virtual machine {}", machine.entity.name);
    let Some(plan) = machine.guest_plan.as_ref().filter(|_| since >= firmware) else {
        let mut lines = vec![start, format!("{} CPUs, {} MB of memory", hardware.num_cpu, hardware.memory_mb)];
        lines.push(String::new());
        lines.push(match (since >= firmware, efi) {
            (false, _) => "Press F2 to enter SETUP, F12 for Network Boot".to_owned(),
            (true, false) => "Operating System not found".to_owned(),
            (true, true) => "No compatible bootloader found.".to_owned(),
        });
        return lines;
    };
    if since < menu {
        let title = if guest::is_windows(&machine.config.guest_id) { "Boot Manager" } else { "Boot Menu" };
        return vec![title.to_owned(), String::new(), format!(" > {system}"), "   Firmware settings".to_owned()];
    }
    match guest::is_windows(&machine.config.guest_id) {
        true => windows(&plan.host_name, &system, &machine.life.typed),
        false => console(&plan.host_name, &system, &machine.life.typed),
    }
}

/// A console with a login prompt, and what was typed there. Nobody can log in: no password is right.
fn console(host: &str, system: &str, typed: &[Press]) -> Vec<String> {
    let login = || format!("{host} login: ");
    let mut lines = vec![format!("{system} {host} tty1"), String::new()];
    let (mut line, mut asks_password) = (login(), false);
    let mut name = String::new();
    for press in typed {
        match press {
            // No password is shown.
            Press::Text(_) | Press::Back if asks_password => {}
            Press::Text(letter) => name.push(*letter),
            Press::Back => drop(name.pop()),
            Press::Enter if asks_password => {
                lines.extend([line, "Login incorrect".to_owned(), String::new()]);
                (line, asks_password) = (login(), false);
            }
            Press::Enter => {
                lines.push(format!("{line}{name}"));
                (line, asks_password) =
                    if name.is_empty() { (login(), false) } else { ("Password: ".to_owned(), true) };
                name.clear();
            }
            Press::Attention | Press::Other => {}
        }
    }
    lines.push(format!("{line}{name}_"));
    lines
}

/// The lock screen, and the password that is asked for after Ctrl+Alt+Delete.
fn windows(host: &str, system: &str, typed: &[Press]) -> Vec<String> {
    let mut lines = vec![system.to_owned(), host.to_owned(), String::new()];
    let Some(at) = typed.iter().position(|press| *press == Press::Attention) else {
        lines.push("Press Ctrl+Alt+Delete to unlock.".to_owned());
        return lines;
    };
    let (mut letters, mut tries) = (0_usize, 0);
    for press in typed.iter().skip(at) {
        match press {
            Press::Text(_) => letters += 1,
            Press::Back => letters = letters.saturating_sub(1),
            Press::Enter => (letters, tries) = (0, tries + 1),
            Press::Attention | Press::Other => {}
        }
    }
    lines.push("Administrator".to_owned());
    lines.push(format!("Password: {}_", "*".repeat(letters.min(COLUMNS))));
    if tries > 0 {
        lines.push("The password is incorrect. Try again.".to_owned());
    }
    lines
}

impl Picture {
    /// Text on black. Where there is more of it than the screen has lines, the last are seen.
    fn of(lines: &[String], size: Size) -> Self {
        let length = usize::try_from(size.width).unwrap_or_default() * usize::try_from(size.height).unwrap_or_default();
        let mut picture = Self { width: size.width, height: size.height, pixels: vec![0; length * 3] };
        let style = MonoTextStyle::new(&FONT_9X15, Rgb888::new(204, 204, 204));
        let mut rows: Vec<String> = Vec::new();
        for line in lines {
            let letters: Vec<char> = line.chars().collect();
            rows.extend(letters.chunks(COLUMNS).map(|row| row.iter().collect()));
            if letters.is_empty() {
                rows.push(String::new());
            }
        }
        let first = rows.len().saturating_sub(LINES);
        let mut at = Point::zero();
        for row in rows.iter().skip(first) {
            let Ok(_) = Text::with_baseline(row, at, style, Baseline::Top).draw(&mut picture);
            at.y += LINE_HEIGHT;
        }
        picture
    }

    /// A part of it, scaled: where one side is given, the other keeps the ratio.
    ///
    /// # Errors
    /// `InvalidArgument` for a part that is not on the screen, and for a size that is none or too large.
    pub(crate) fn fitted(self, wanted: Wanted) -> Outcome<Self> {
        let (left, top) = (wanted.left.unwrap_or(0), wanted.top.unwrap_or(0));
        let (right, bottom) = (wanted.right.unwrap_or(self.width), wanted.bottom.unwrap_or(self.height));
        if left >= right || top >= bottom || right > self.width || bottom > self.height {
            return Err(Fault::invalid_argument("region"));
        }
        let (from_width, from_height) = (right - left, bottom - top);
        let scaled = |side: u32, by: u32, of: u32| {
            let side = u64::from(side) * u64::from(by) / u64::from(of.max(1));
            u32::try_from(side.max(1)).unwrap_or(u32::MAX)
        };
        let (width, height) = match (wanted.width, wanted.height) {
            (None, None) => (from_width, from_height),
            (Some(width), None) => (width, scaled(from_height, width, from_width)),
            (None, Some(height)) => (scaled(from_width, height, from_height), height),
            (Some(width), Some(height)) => (width, height),
        };
        if ![width, height].iter().all(|side| (1..=LARGEST).contains(side)) {
            return Err(Fault::invalid_argument("width"));
        }
        let mut pixels = Vec::new();
        for y in 0..height {
            let from_y = top + nearest(y, from_height, height);
            for x in 0..width {
                let from_x = left + nearest(x, from_width, width);
                pixels.extend(self.at(from_x, from_y));
            }
        }
        Ok(Self { width, height, pixels })
    }

    fn at(&self, x: u32, y: u32) -> [u8; 3] {
        self.start(x, y).and_then(|start| self.pixels.get(start..start + 3)?.try_into().ok()).unwrap_or_default()
    }

    /// Where the pixel begins, if there is such a one.
    fn start(&self, x: u32, y: u32) -> Option<usize> {
        (x < self.width && y < self.height).then_some(())?;
        usize::try_from(u64::from(y) * u64::from(self.width) + u64::from(x)).ok()?.checked_mul(3)
    }

    /// The picture as a PNG.
    ///
    /// # Errors
    /// The encoder fails.
    pub(crate) fn png(&self) -> Result<Vec<u8>, png::EncodingError> {
        let mut out = Vec::new();
        let mut encoder = png::Encoder::new(&mut out, self.width, self.height);
        encoder.set_color(png::ColorType::Rgb);
        encoder.set_depth(png::BitDepth::Eight);
        encoder.write_header()?.write_image_data(&self.pixels)?;
        Ok(out)
    }
}

/// The pixel of the source that is nearest to one of the target.
fn nearest(at: u32, source: u32, target: u32) -> u32 {
    let nearest = u64::from(at) * u64::from(source) / u64::from(target.max(1));
    u32::try_from(nearest).unwrap_or_default().min(source.saturating_sub(1))
}

impl OriginDimensions for Picture {
    fn size(&self) -> Size {
        Size::new(self.width, self.height)
    }
}

impl DrawTarget for Picture {
    type Color = Rgb888;
    type Error = Infallible;

    fn draw_iter<I: IntoIterator<Item = Pixel<Rgb888>>>(&mut self, pixels: I) -> Result<(), Infallible> {
        for Pixel(at, color) in pixels {
            let place = (u32::try_from(at.x).ok()).zip(u32::try_from(at.y).ok());
            if let Some(start) = place.and_then(|(x, y)| self.start(x, y))
                && let Some(pixel) = self.pixels.get_mut(start..start + 3)
            {
                pixel.copy_from_slice(&[color.r(), color.g(), color.b()]);
            }
        }
        Ok(())
    }
}

/// Keeps what is typed, but not for ever.
pub(super) fn keep(typed: &mut Vec<Press>, new: impl IntoIterator<Item = Press>) {
    /// How many keys are remembered.
    const MOST: usize = 2000;
    typed.extend(new);
    let excess = typed.len().saturating_sub(MOST);
    typed.drain(..excess);
}

#[cfg(test)]
mod tests {
    use super::super::keys;
    use super::*;

    fn typed(text: &str) -> Vec<Press> {
        text.chars().map(|letter| if letter == '\n' { Press::Enter } else { Press::Text(letter) }).collect()
    }

    #[test]
    fn a_console_shows_what_was_typed_but_no_password() {
        let lines = |text: &str| console("web-01", "Ubuntu Linux (64-bit)", &typed(text));
        assert_eq!(lines("")[2..], ["web-01 login: _"]);
        assert_eq!(lines("ro")[2..], ["web-01 login: ro_"]);
        assert_eq!(lines("root\nsecret")[2..], ["web-01 login: root", "Password: _"]);
        let failed = lines("root\nsecret\n");
        assert_eq!(failed[2..], ["web-01 login: root", "Password: ", "Login incorrect", "", "web-01 login: _"]);
    }

    #[test]
    fn a_windows_guest_waits_for_its_keys() {
        let lines = |typed: &[Press]| windows("crm", "Windows", typed).last().cloned().unwrap_or_default();
        assert_eq!(lines(&typed("abc")), "Press Ctrl+Alt+Delete to unlock.");
        assert_eq!(lines(&[Press::Attention, Press::Text('a'), Press::Text('b')]), "Password: **_");
    }

    #[test]
    fn a_picture_is_cut_and_scaled() {
        let whole = Picture::of(&["####".to_owned()], USUAL);
        assert!(whole.pixels.iter().any(|byte| *byte > 0));
        let size = |wanted: Wanted| whole.clone().fitted(wanted).map(|picture| (picture.width, picture.height));
        assert_eq!(size(Wanted::default()).unwrap(), (720, 400));
        assert_eq!(whole.clone().fitted(Wanted::default()).unwrap(), whole);
        assert_eq!(size(Wanted { width: Some(360), ..Default::default() }).unwrap(), (360, 200));
        assert_eq!(size(Wanted { height: Some(800), ..Default::default() }).unwrap(), (1440, 800));
        let corner = Wanted { left: Some(700), top: Some(300), ..Default::default() };
        assert_eq!(size(corner).unwrap(), (20, 100));
        assert!(whole.clone().fitted(corner).unwrap().pixels.iter().all(|byte| *byte == 0));
        for wrong in [
            Wanted { left: Some(720), ..Default::default() },
            Wanted { bottom: Some(401), ..Default::default() },
            Wanted { width: Some(0), ..Default::default() },
            Wanted { width: Some(1 << 30), height: Some(1 << 30), ..Default::default() },
        ] {
            assert!(size(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn keys_are_kept_but_not_for_ever() {
        let mut kept = Vec::new();
        (0..3).for_each(|_| keep(&mut kept, typed(&"a".repeat(1500))));
        assert_eq!(kept.len(), 2000);
        assert_eq!(keys::press(4, false, false, false), Press::Text('a'));
    }
}
