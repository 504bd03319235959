//! The job's parameters.

/// Values of the parameters that [`crate::Trainer::describe`] declares.
pub struct Params(Vec<(String, f64)>);

impl Params {
    /// The value of a declared parameter.
    ///
    /// # Panics
    ///
    /// If `describe` does not declare it.
    #[must_use]
    pub fn get(&self, name: &str) -> f64 {
        match self.0.iter().find(|(known, _)| known == name) {
            Some((_, value)) => *value,
            None => panic!("parameter is not declared in describe()"),
        }
    }

    /// The value of a declared parameter in the precision of tensors.
    ///
    /// # Panics
    ///
    /// If `describe` does not declare it.
    #[must_use]
    #[allow(clippy::cast_possible_truncation)]
    pub fn get_f32(&self, name: &str) -> f32 {
        self.get(name) as f32
    }
}

impl From<Vec<(String, f64)>> for Params {
    fn from(values: Vec<(String, f64)>) -> Self {
        Self(values)
    }
}
