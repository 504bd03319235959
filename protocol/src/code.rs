//! Signed compute code, and an owner's approval of it.

use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;
use thiserror::Error;

use crate::{
    cbor::{self, CborError},
    digest::{Digest, Id},
    limits,
    signed::{Kind, Signed},
};

/// The world that components of this version target.
pub const WORLD: &str = "cloister:compute/trainer@1.0.0";

/// What an author says about a component, signed by the author.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CodeManifest {
    /// The name that jobs use, as in `logistic@1`.
    pub name: String,
    /// The version, the part after `@`.
    pub version: String,
    /// Digest of the component, see [`component_digest`].
    pub component: Digest,
    /// The component's length in bytes.
    pub length: u64,
    /// The WIT world it targets: [`WORLD`].
    pub world: String,
    /// The parameters it takes.
    pub parameters: Vec<Parameter>,
    /// What its update is, in words.
    pub output: String,
    /// Where the source is, if it is public: repository and commit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<Source>,
}

/// A number that a job may set.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Parameter {
    /// Its name.
    pub name: String,
    /// The least value it takes.
    pub lower: f64,
    /// The greatest value it takes.
    pub upper: f64,
    /// Its value when the job is silent.
    pub default: f64,
}

/// Where a component's source can be read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Source {
    /// The repository.
    pub repository: String,
    /// The commit.
    pub commit: String,
}

impl Kind for CodeManifest {
    const KIND: &'static str = "code-manifest";
}

/// An owner's word that this code may be run on the owner's rows, under a policy.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CodeApproval {
    /// The manifest approved.
    pub code: Id<CodeManifest>,
    /// The component approved; the manifest says the same.
    pub component: Digest,
}

impl Kind for CodeApproval {
    const KIND: &'static str = "code-approval";
}

/// The digest that names a component.
#[must_use]
pub fn component_digest(component: &[u8]) -> Digest {
    Digest::of("component", &[component])
}

/// A file of signed code: manifest and component together.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CodeFile {
    kind: CodeFileKind,
    /// The signed manifest.
    pub manifest: Signed<CodeManifest>,
    /// The component.
    pub component: ByteBuf,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum CodeFileKind {
    #[serde(rename = "cloister/code")]
    Code,
}

/// Why code was refused.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum CodeError {
    /// The file is not a code file.
    #[error("not a file of signed code: {0}")]
    File(#[from] CborError),
    /// The component is not the one that the manifest names.
    #[error(
        "the component is not the one that was signed: its digest is {found:?}, the manifest says {expected:?}"
    )]
    Component {
        /// What the manifest says.
        expected: Digest,
        /// What the bytes give.
        found: Digest,
    },
    /// Another world or version of it.
    #[error("the code targets {0:?}; this build runs {WORLD}")]
    World(String),
    /// A parameter without a sensible range.
    #[error("parameter {0:?}: a name, finite bounds and a default within them are needed")]
    Parameter(String),
    /// A parameter that the code does not take.
    #[error("the code has no parameter {0:?}")]
    UnknownParameter(String),
    /// A value out of its range.
    #[error("parameter {name:?} is {found}; the code takes {lower} to {upper}")]
    Range {
        /// The parameter.
        name: String,
        /// The value given.
        found: f64,
        /// The least value.
        lower: f64,
        /// The greatest value.
        upper: f64,
    },
}

impl CodeFile {
    /// Puts a manifest and its component together.
    #[must_use]
    pub fn new(manifest: Signed<CodeManifest>, component: Vec<u8>) -> Self {
        Self { kind: CodeFileKind::Code, manifest, component: component.into() }
    }

    /// The bytes of the file.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        cbor::encode(self)
    }

    /// Reads a file; the manifest's signature is not verified yet.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, CodeError> {
        let limit = usize::try_from(limits::COMPONENT).unwrap_or(usize::MAX);
        Ok(cbor::decode(bytes, limit + limits::SIGNED_OBJECT)?)
    }
}

impl CodeManifest {
    /// Checks the rules on the manifest itself.
    pub fn validate(&self) -> Result<(), CodeError> {
        if self.world != WORLD {
            return Err(CodeError::World(self.world.clone()));
        }
        for (index, p) in self.parameters.iter().enumerate() {
            let finite = p.lower.is_finite() && p.upper.is_finite();
            let twice = self.parameters[..index].iter().any(|other| other.name == p.name);
            if !finite || twice || p.name.is_empty() || !(p.lower..=p.upper).contains(&p.default) {
                return Err(CodeError::Parameter(p.name.clone()));
            }
        }
        Ok(())
    }

    /// Checks that `component` is the one named.
    pub fn check_component(&self, component: &[u8]) -> Result<(), CodeError> {
        let found = component_digest(component);
        if found != self.component || component.len() as u64 != self.length {
            return Err(CodeError::Component { expected: self.component, found });
        }
        Ok(())
    }

    /// The parameters of one job: what it sets, in range, and defaults for the rest.
    pub fn resolve<'a>(
        &self,
        given: impl IntoIterator<Item = (&'a String, &'a f64)>,
    ) -> Result<Vec<(String, f64)>, CodeError> {
        let mut resolved: Vec<_> =
            self.parameters.iter().map(|p| (p.name.clone(), p.default)).collect();
        for (name, value) in given {
            let index = self
                .parameters
                .iter()
                .position(|p| p.name == *name)
                .ok_or_else(|| CodeError::UnknownParameter(name.clone()))?;
            let Parameter { lower, upper, .. } = self.parameters[index];
            if !(lower..=upper).contains(value) {
                let name = name.clone();
                return Err(CodeError::Range { name, found: *value, lower, upper });
            }
            resolved[index].1 = *value;
        }
        Ok(resolved)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::SigningKey;

    fn manifest() -> CodeManifest {
        CodeManifest {
            name: "logistic".into(),
            version: "1".into(),
            component: component_digest(b"component"),
            length: 9,
            world: WORLD.into(),
            parameters: vec![Parameter { name: "l2".into(), lower: 0.0, upper: 1.0, default: 0.1 }],
            output: "gradient".into(),
            source: None,
        }
    }

    #[test]
    fn file_survives_and_component_is_checked() {
        let (key, _) = SigningKey::generate().unwrap();
        let signed = Signed::sign(&manifest(), &key).unwrap();
        let file = CodeFile::new(signed, b"component".to_vec());
        assert_eq!(CodeFile::from_bytes(&file.to_bytes()).unwrap(), file);
        manifest().check_component(b"component").unwrap();
        assert!(matches!(
            manifest().check_component(b"Component"),
            Err(CodeError::Component { .. })
        ));
    }

    #[test]
    fn parameters_are_resolved_and_bounded() {
        let name = "l2".to_owned();
        assert_eq!(manifest().resolve([]).unwrap(), [(name.clone(), 0.1)]);
        assert_eq!(manifest().resolve([(&name, &0.5)]).unwrap(), [(name.clone(), 0.5)]);
        for bad in [2.0, f64::NAN] {
            assert!(matches!(manifest().resolve([(&name, &bad)]), Err(CodeError::Range { .. })));
        }
        let other = "l1".to_owned();
        assert!(matches!(
            manifest().resolve([(&other, &0.5)]),
            Err(CodeError::UnknownParameter(_))
        ));
        let mut wrong = manifest();
        wrong.parameters[0].default = 2.0;
        assert!(matches!(wrong.validate(), Err(CodeError::Parameter(_))));
        wrong = CodeManifest { world: "other".into(), ..manifest() };
        assert!(matches!(wrong.validate(), Err(CodeError::World(_))));
    }
}
