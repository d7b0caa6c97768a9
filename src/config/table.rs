//! A section as a table: each setting's meaning, type, kind and default, and whether a reload may change it.

/// Makes the `Options` of a section from its table, their default, their reader and what a reload leaves.
///
/// A line is `key: Type = method(kind, "default"), rule;`: a method of `Fields` and what it is given behind the key,
/// and a rule of this module. A function named behind the section checks what was read.
macro_rules! settings {
    (
        $(#[$doc:meta])*
        $section:literal $(, $check:ident)? {
            $(
                $(#[$about:meta])*
                $key:ident: $type:ty = $read:ident($how:expr $(, $default:literal)?), $rule:ident;
            )*
        }
    ) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub struct Options {
            $(
                $(#[$about])*
                $(#[doc = concat!("Default `", $default, "`.")])?
                pub $key: $type,
            )*
        }

        impl Options {
            pub(super) fn read(fields: &mut $crate::config::reader::Fields<'_, '_>) -> Self {
                let options = Self {
                    $($key: fields.$read(stringify!($key), $how $(, $default)?),)*
                };
                $($check(&options, fields);)?
                options
            }

            /// What is in force once `new` was read again. What differs and stays is named in `left`.
            pub(crate) fn reloaded(&self, new: &Self, left: &mut Vec<String>) -> Self {
                Self {
                    $(
                        $key: $crate::config::table::$rule(
                            concat!($section, ".", stringify!($key)),
                            &self.$key,
                            &new.$key,
                            left,
                        ),
                    )*
                }
            }
        }

        impl Default for Options {
            fn default() -> Self {
                $crate::config::sources::default(Self::read)
            }
        }
    };
}

pub(super) use settings;

/// The rule of a setting that stays as it is until a restart.
pub(crate) fn restart<T: Clone + PartialEq>(
    name: impl Into<String>,
    now: &T,
    new: &T,
    left: &mut Vec<String>,
) -> T {
    if now != new {
        left.push(name.into());
    }
    now.clone()
}

/// The rule of files: others are read while there are any, but whether there are stays.
pub(crate) fn files<T: Clone + PartialEq>(
    name: &str,
    now: &Option<T>,
    new: &Option<T>,
    left: &mut Vec<String>,
) -> Option<T> {
    match (now, new) {
        (Some(_), Some(_)) => new.clone(),
        (None, _) | (_, None) => restart(name, now, new, left),
    }
}
