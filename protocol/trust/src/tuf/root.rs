use alloc::borrow::ToOwned;
use alloc::collections::BTreeMap;
use alloc::string::String;

use super::form::{self, Form, take};
use super::key::Key;
use super::role::{Head, RoleKeys, read_keys, write_keys};
use crate::json::Json;

/// The roles that a root names.
pub const TOP_LEVEL_ROLES: [&str; 4] = ["root", "snapshot", "targets", "timestamp"];

/// `root`: whose keys sign for which role.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Root {
    /// What all roles begin with.
    pub head: Head,
    /// Whether files carry their version or hash in their name.
    pub consistent_snapshot: bool,
    /// Keys by name.
    pub keys: BTreeMap<String, Key>,
    /// The four top-level roles.
    pub roles: BTreeMap<String, RoleKeys>,
}

impl Root {
    /// Reads the `signed` part.
    ///
    /// # Errors
    /// [`super::FormError`] names the member.
    pub fn read(json: &Json) -> Form<Root> {
        let head = Head::read(json, "root")?;
        let roles = take(json, "roles", "an object", |value| {
            form::object(value).map(|_| value)
        })?;
        let each = TOP_LEVEL_ROLES.map(|name| -> Form<(String, RoleKeys)> {
            let role = take(roles, name, "a role", Some)?;
            Ok((name.to_owned(), RoleKeys::read(role)?))
        });
        Ok(Root {
            head,
            consistent_snapshot: take(json, "consistent_snapshot", "a flag", form::flag)?,
            keys: read_keys(json)?,
            roles: each.into_iter().collect::<Form<_>>()?,
        })
    }

    /// The `signed` part.
    #[must_use]
    pub fn to_json(&self) -> Json {
        let role = |(name, role): (&String, &RoleKeys)| {
            let members = role.members();
            (name.clone(), Json::object(members))
        };
        let [kind, spec, version, expires] = self.head.write("root");
        Json::object([
            kind,
            spec,
            version,
            expires,
            ("consistent_snapshot", Json::Flag(self.consistent_snapshot)),
            ("keys", write_keys(&self.keys)),
            ("roles", Json::Object(self.roles.iter().map(role).collect())),
        ])
    }

    /// Who signs for a top-level role.
    ///
    /// # Panics
    /// For a name that is none of [`TOP_LEVEL_ROLES`].
    #[must_use]
    pub fn role(&self, name: &'static str) -> &RoleKeys {
        &self.roles[name]
    }
}
