//! The styles of the program's output.
//!
//! The colours are of the fixed part of the palette with 256 colours, whose values no terminal changes. Each can
//! be read on light and on dark backgrounds.

use anstyle::{Ansi256Color, Style};

pub(crate) const GOOD: Style = Ansi256Color(28).on_default().bold();
pub(crate) const BAD: Style = Ansi256Color(167).on_default().bold();
pub(crate) const CARE: Style = Ansi256Color(136).on_default().bold();
/// Places in a patch.
pub(crate) const PLACE: Style = Ansi256Color(31).on_default();
pub(crate) const BOLD: Style = Style::new().bold();
/// Grey, since terminals draw `dimmed` each in their own way, and some hardly at all.
pub(crate) const DIM: Style = Ansi256Color(243).on_default();

/// Added and removed lines of a patch.
pub(crate) const ADDED: Style = Ansi256Color(28).on_default();
pub(crate) const REMOVED: Style = Ansi256Color(167).on_default();
/// The names of programs, in turn.
pub(crate) const NAMES: [Style; 6] = [
    Ansi256Color(30).on_default().bold(),
    Ansi256Color(133).on_default().bold(),
    Ansi256Color(136).on_default().bold(),
    Ansi256Color(32).on_default().bold(),
    Ansi256Color(28).on_default().bold(),
    Ansi256Color(167).on_default().bold(),
];

#[cfg(test)]
mod tests {
    use anstyle::Color;

    use super::*;

    /// The least contrast of marks and large text by WCAG 2.1 (1.4.11).
    const LEAST: f64 = 3.0;

    /// Backgrounds of terminals: black and white, the dark ones of editors and of GNOME, Solarized in both.
    const BACKGROUNDS: [(u8, u8, u8); 7] = [
        (0, 0, 0),
        (0x1e, 0x1e, 0x1e),
        (0x17, 0x14, 0x21),
        (0x00, 0x2b, 0x36),
        (0xff, 0xff, 0xff),
        (0xfd, 0xf6, 0xe3),
        (0xfa, 0xfa, 0xfa),
    ];

    /// Returns the colour of a place in the cube of 256 colours, or of its greys.
    fn rgb(index: u8) -> (u8, u8, u8) {
        let level = |number: u8| if number == 0 { 0 } else { 55 + number * 40 };
        match index {
            232.. => (8 + (index - 232) * 10, 8 + (index - 232) * 10, 8 + (index - 232) * 10),
            16.. => (level((index - 16) / 36), level((index - 16) / 6 % 6), level((index - 16) % 6)),
            _ => panic!("terminals change the first sixteen"),
        }
    }

    /// Returns the relative luminance by WCAG 2.1.
    fn luminance((red, green, blue): (u8, u8, u8)) -> f64 {
        let linear = |part: u8| {
            let part = f64::from(part) / 255.0;
            if part <= 0.03928 { part / 12.92 } else { ((part + 0.055) / 1.055).powf(2.4) }
        };
        0.2126 * linear(red) + 0.7152 * linear(green) + 0.0722 * linear(blue)
    }

    #[test]
    fn every_colour_can_be_read_on_light_and_dark() {
        let own = [GOOD, BAD, CARE, PLACE, DIM, ADDED, REMOVED];
        for (name, style) in own.into_iter().chain(NAMES).enumerate() {
            let Some(Color::Ansi256(Ansi256Color(index))) = style.get_fg_color() else {
                panic!("{name}: a terminal may change this colour");
            };
            for background in BACKGROUNDS {
                let (a, b) = (luminance(rgb(index)), luminance(background));
                let contrast = (a.max(b) + 0.05) / (a.min(b) + 0.05);
                assert!(contrast >= LEAST, "{name} on {background:?}: {contrast:.2}");
            }
        }
    }
}
