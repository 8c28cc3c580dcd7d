//! Declaration of configuration keys: [`ConfigKey`], and the macro `configuration!` that derives everything else.

use toml::Value;

/// Key of a configuration file.
#[derive(Clone, Copy, Debug)]
pub struct ConfigKey {
    /// Section, such as `broker`; empty for a key of an organization's file.
    pub section: &'static str,
    /// Name, such as `prefetch`.
    pub name: &'static str,
    /// Conversion of an environment variable's text.
    pub kind: ValueKind,
    /// Default as TOML, if there is one.
    pub default: Option<&'static str>,
    /// Purpose of the key.
    pub meaning: &'static str,
    /// Allowed values.
    pub allowed: &'static str,
}

/// Conversion of an environment variable's text to a value.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ValueKind {
    /// Text, unchanged.
    Text,
    /// Whole number.
    Number,
    /// `true` or `false`.
    Switch,
    /// TOML or JSON array, or items separated by commas.
    List,
    /// String, or TOML table that names the place of the string. Never shown.
    Secret,
    /// Secret, or a list of them. Never shown.
    Secrets,
}

impl ConfigKey {
    /// Returns the name of the environment variable, such as `HANDOFFD_BROKER__PREFETCH`.
    pub fn variable(&self) -> String {
        format!("HANDOFFD_{}__{}", self.section, self.name).to_uppercase()
    }

    /// Returns the parsed default.
    pub fn default_value(&self) -> Option<Value> {
        let text = format!("it = {}", self.default?);
        // The tests parse every default, so each is valid TOML.
        let mut table: toml::Table = toml::from_str(&text).ok()?;
        table.remove("it")
    }
}

impl ValueKind {
    /// Reports whether values of this kind are never shown.
    pub fn is_secret(self) -> bool {
        matches!(self, Self::Secret | Self::Secrets)
    }

    /// Returns the kind of a key that is read by this method of `Reader` and has this default.
    pub(super) const fn of(method: &str, default: &str) -> Self {
        match (method.as_bytes(), default.as_bytes()[0]) {
            (b"secret", _) => Self::Secret,
            (b"secrets", _) => Self::Secrets,
            (_, b'"') => Self::Text,
            (_, b'[') => Self::List,
            (_, b't' | b'f') => Self::Switch,
            _ => Self::Number,
        }
    }
}

/// Builds a key for the tables; the default `""` means none.
pub(crate) const fn key(
    place: (&'static str, &'static str),
    kind: ValueKind,
    default: &'static str,
    meaning: &'static str,
    allowed: &'static str,
) -> ConfigKey {
    let default = if default.is_empty() { None } else { Some(default) };
    ConfigKey { section: place.0, name: place.1, kind, default, meaning, allowed }
}

/// Declares the sections of the configuration file:
///
/// ```ignore
/// /// Subject of the section.
/// section: StructOfTheSection {
///     /// Purpose of the key.
///     key: TypeOfItsField = "default in TOML", method_of_reader(check), "allowed values";
/// }
/// ```
///
/// Derived from it: the struct of each section, `Config`, `Config::read`, and the tables [`ConfigKey`] and `SECTIONS`,
/// from which the sample file and `docs/CONFIGURATION.md` are written.
macro_rules! configuration {
    ($(
        $(#[doc = $subject:literal])+
        $section:ident: $struct:ident { $(
            $(#[doc = $meaning:literal])+
            $key:ident: $type:ty = $default:tt, $method:ident($check:expr), $allowed:literal;
        )+ }
    )+) => {
        /// Configuration without the organizations. `Debug` shows no secret.
        #[derive(Clone, Debug)]
        pub struct Config {
            $( $(#[doc = $subject])+ pub $section: $struct, )+
            /// Files with secrets that every user of the machine can read; searched by `load_to_run` and
            /// `load_everything` only.
            pub exposed_files: Vec<ExposedFile>,
        }

        $(
            $(#[doc = $subject])+
            #[derive(Clone, Debug)]
            pub struct $struct { $( $(#[doc = $meaning])+ pub $key: $type, )+ }
        )+

        /// Sections of the configuration file in order, each with its subject.
        pub const SECTIONS: &[(&str, &str)] =
            &[$( (stringify!($section), concat!($($subject),+).trim_ascii()), )+];

        /// Keys of the configuration file, in order.
        pub const KEYS: &[ConfigKey] = &[$( $( ConfigKey {
            section: stringify!($section),
            name: stringify!($key),
            kind: ValueKind::of(stringify!($method), stringify!($default)),
            default: Some(stringify!($default)),
            meaning: concat!($($meaning),+).trim_ascii(),
            allowed: $allowed,
        }, )+ )+];

        impl Config {
            /// Reads every key; a faulty value is replaced by its default.
            pub(super) fn read(layers: &Layers, env: &EnvironmentVariables, faults: &mut ConfigFaults) -> Self {
                Self {
                    $( $section: {
                        let set = layers.get(stringify!($section)).unwrap_or(&UNSET);
                        let mut reader =
                            Reader { section: stringify!($section), keys: KEYS, set, env, faults: &mut *faults };
                        $struct { $( $key: reader.$method(stringify!($key), $check), )+ }
                    }, )+
                    exposed_files: Vec::new(),
                }
            }
        }
    };
}
pub(super) use configuration;
