//! What a component says about itself.

use wasmtime::component::Val;

use super::OfferError;
use crate::limits::{MAX_PARAMETERS, MAX_TEXT_BYTES};

/// What a component says about itself. Its texts are short, printable, and claims.
#[derive(Clone, Debug, PartialEq)]
pub struct Description {
    /// Name of the trainer.
    pub name: String,
    /// Its version.
    pub version: String,
    /// What it trains, in a line.
    pub summary: String,
    /// Parameters that a job may set, in the order in which they are handed over.
    pub parameters: Vec<Parameter>,
    /// What the model tensor holds, in a line.
    pub model: String,
    /// What `score` returns, in a line.
    pub scores: String,
}

/// A parameter that a job may set.
#[derive(Clone, Debug, PartialEq)]
pub struct Parameter {
    /// Its name.
    pub name: String,
    /// Which values it takes.
    pub kind: ParameterKind,
    /// Smallest value.
    pub minimum: f64,
    /// Largest value.
    pub maximum: f64,
    /// Value when the job does not say.
    pub default: f64,
    /// What it does, in a line.
    pub about: String,
}

/// Which values a parameter takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ParameterKind {
    /// Any number in the range.
    Real,
    /// Whole numbers in the range.
    Integer,
    /// 0 or 1.
    Flag,
}

impl Parameter {
    /// Whether a job may set the parameter to this value.
    #[must_use]
    #[allow(clippy::float_cmp)]
    pub fn accepts(&self, value: f64) -> bool {
        let whole = match self.kind {
            ParameterKind::Real => true,
            ParameterKind::Integer | ParameterKind::Flag => value.trunc() == value,
        };
        whole && value >= self.minimum && value <= self.maximum
    }

    fn check(&self) -> Result<(), String> {
        let name = &self.name;
        let numbers = [self.minimum, self.maximum, self.default];
        if numbers.iter().any(|number| !number.is_finite()) {
            return Err(format!("a range of `{name}` that is not finite"));
        }
        if self.kind == ParameterKind::Flag && (self.minimum, self.maximum) != (0.0, 1.0) {
            return Err(format!("a flag `{name}` whose range is not 0 to 1"));
        }
        if !self.accepts(self.default) {
            return Err(format!("a default of `{name}` outside its own range"));
        }
        Ok(())
    }
}

impl TryFrom<Val> for Description {
    type Error = OfferError;

    fn try_from(value: Val) -> Result<Self, OfferError> {
        read(value).map_err(|reason| OfferError::BadDescription { reason })
    }
}

fn read(value: Val) -> Result<Description, String> {
    let mut fields = Fields::open(value)?;
    let name = fields.text("name")?;
    let version = fields.text("version")?;
    let summary = fields.text("summary")?;
    let Val::List(list) = fields.next("parameters")? else {
        return Err("parameters that are not a list".into());
    };
    if list.len() > MAX_PARAMETERS {
        return Err(format!("{} parameters, more than {MAX_PARAMETERS}", list.len()));
    }
    let mut parameters: Vec<Parameter> = Vec::new();
    for value in list {
        let parameter = read_parameter(value)?;
        if parameters.iter().any(|known| known.name == parameter.name) {
            return Err(format!("the parameter `{}` twice", parameter.name));
        }
        parameters.push(parameter);
    }
    let description = Description {
        name,
        version,
        summary,
        parameters,
        model: fields.text("model")?,
        scores: fields.text("scores")?,
    };
    fields.close()?;
    if description.name.is_empty() || description.version.is_empty() {
        return Err("no name or no version".into());
    }
    Ok(description)
}

fn read_parameter(value: Val) -> Result<Parameter, String> {
    let mut fields = Fields::open(value)?;
    let parameter = Parameter {
        name: fields.text("name")?,
        kind: match fields.next("kind")? {
            Val::Enum(kind) if kind == "real" => ParameterKind::Real,
            Val::Enum(kind) if kind == "integer" => ParameterKind::Integer,
            Val::Enum(kind) if kind == "flag" => ParameterKind::Flag,
            _ => return Err("a parameter of an unknown kind".into()),
        },
        minimum: fields.number("minimum")?,
        maximum: fields.number("maximum")?,
        default: fields.number("default")?,
        about: fields.text("about")?,
    };
    fields.close()?;
    parameter.check()?;
    Ok(parameter)
}

/// Fields of a record, in the world's order.
struct Fields(std::vec::IntoIter<(String, Val)>);

impl Fields {
    fn open(value: Val) -> Result<Self, String> {
        match value {
            Val::Record(fields) => Ok(Self(fields.into_iter())),
            _ => Err("something that is not a record".into()),
        }
    }

    fn next(&mut self, name: &str) -> Result<Val, String> {
        match self.0.next() {
            Some((found, value)) if found == name => Ok(value),
            _ => Err(format!("no field `{name}` in its place")),
        }
    }

    fn text(&mut self, name: &str) -> Result<String, String> {
        let Val::String(text) = self.next(name)? else {
            return Err(format!("a field `{name}` that is not text"));
        };
        if text.len() > MAX_TEXT_BYTES {
            return Err(format!("a field `{name}` longer than {MAX_TEXT_BYTES} bytes"));
        }
        // It is shown on terminals.
        if text.chars().any(char::is_control) {
            return Err(format!("a field `{name}` with control characters"));
        }
        Ok(text)
    }

    fn number(&mut self, name: &str) -> Result<f64, String> {
        match self.next(name)? {
            Val::Float64(number) => Ok(number),
            _ => Err(format!("a field `{name}` that is not a number")),
        }
    }

    fn close(mut self) -> Result<(), String> {
        match self.0.next() {
            None => Ok(()),
            Some(_) => Err("a field too many".into()),
        }
    }
}
