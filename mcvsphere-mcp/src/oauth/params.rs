//! The parameters of a request, from its query or from a form.

use url::form_urlencoded;
use zeroize::Zeroizing;

/// The most bytes of all parameters.
const LONGEST: usize = 16 << 10;

/// The most parameters.
const MOST: usize = 64;

/// Parameters of which each is there once, but for `resource`.
pub(super) struct Params(Vec<(String, String)>);

impl Params {
    /// # Errors
    /// One is there twice, or they are too many.
    pub(super) fn read(text: &[u8]) -> Result<Self, &'static str> {
        if text.len() > LONGEST {
            return Err("the parameters are too long");
        }
        let all: Vec<(String, String)> = form_urlencoded::parse(text).into_owned().take(MOST + 1).collect();
        if all.len() > MOST {
            return Err("there are too many parameters");
        }
        let is_twice = |(at, (name, _)): (usize, &(String, String))| {
            name != "resource" && all.iter().take(at).any(|(other, _)| other == name)
        };
        match all.iter().enumerate().any(is_twice) {
            true => Err("a parameter is there twice"),
            false => Ok(Self(all)),
        }
    }

    /// What a parameter holds. One that is empty is as one that is not there.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(other, value)| other == name && !value.is_empty()).map(|(_, value)| value.as_str())
    }

    /// Takes out what is secret; what was held of it is overwritten when it goes.
    pub(super) fn take_secret(&mut self, name: &str) -> Option<Zeroizing<String>> {
        let (_, value) = self.0.iter_mut().find(|(other, value)| other == name && !value.is_empty())?;
        Some(Zeroizing::new(std::mem::take(value)))
    }

    pub(super) fn all<'p>(&'p self, name: &'p str) -> impl Iterator<Item = &'p str> {
        self.0.iter().filter(move |(other, value)| other == name && !value.is_empty()).map(|(_, value)| value.as_str())
    }
}
