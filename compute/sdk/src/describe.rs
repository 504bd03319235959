//! Writing down what a trainer is.

use crate::{Description, Parameter, ParameterKind};

impl Description {
    /// A trainer's name, its version, and in one line what it trains.
    #[must_use]
    pub fn new(name: &str, version: &str, summary: &str) -> Self {
        Self {
            name: name.into(),
            version: version.into(),
            summary: summary.into(),
            parameters: Vec::new(),
            model: String::new(),
            scores: String::new(),
        }
    }

    /// In one line, what the model tensor holds.
    #[must_use]
    pub fn model(mut self, about: &str) -> Self {
        self.model = about.into();
        self
    }

    /// In one line, what [`crate::Trainer::score`] returns.
    #[must_use]
    pub fn scores(mut self, about: &str) -> Self {
        self.scores = about.into();
        self
    }

    /// Adds a parameter that takes any number in `range`.
    #[must_use]
    pub fn real(self, name: &str, range: [f64; 2], default: f64, about: &str) -> Self {
        self.parameter(name, ParameterKind::Real, range, default, about)
    }

    /// Adds a parameter that takes a whole number in `range`.
    #[must_use]
    pub fn integer(self, name: &str, range: [f64; 2], default: f64, about: &str) -> Self {
        self.parameter(name, ParameterKind::Integer, range, default, about)
    }

    /// Adds a parameter that is on or off.
    #[must_use]
    pub fn flag(self, name: &str, default: bool, about: &str) -> Self {
        let default = f64::from(u8::from(default));
        self.parameter(name, ParameterKind::Flag, [0.0, 1.0], default, about)
    }

    fn parameter(
        mut self,
        name: &str,
        kind: ParameterKind,
        [minimum, maximum]: [f64; 2],
        default: f64,
        about: &str,
    ) -> Self {
        self.parameters.push(Parameter {
            name: name.into(),
            kind,
            minimum,
            maximum,
            default,
            about: about.into(),
        });
        self
    }
}
