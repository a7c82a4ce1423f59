//! Which file of a repository a path stands for (specification section 5.6.7): delegations in
//! pre-order, each role once, a terminating one ends the search.

use alloc::borrow::ToOwned;
use alloc::collections::BTreeSet;
use alloc::format;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

use super::client::{Change, Client, Refused};
use super::key::CheckSignature;
use super::targets::TargetFile;

const TARGETS: &str = "targets";

/// A file that a client may take, and where it lies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Its path in the metadata.
    pub path: String,
    /// Its length and hashes.
    pub file: TargetFile,
    /// Where it lies below the targets' base URL.
    pub location: String,
}

#[derive(Debug)]
pub(super) struct Search {
    path: String,
    /// Roles yet to be asked, the next one last, each with who delegates to it.
    left: Vec<(String, String)>,
    asked: BTreeSet<String>,
    found: Option<TargetFile>,
}

impl<C: CheckSignature> Client<C> {
    /// Loads the role `name`, to which `targets` itself delegates. To be driven like an update.
    ///
    /// # Errors
    /// [`Refused::NotDelegated`], also before the update is through.
    pub fn load(&mut self, name: &str) -> Result<Vec<Change>, Refused> {
        self.search = None;
        self.want_role(name, Some(TARGETS))
    }

    /// Looks for the file with `path`. To be driven like an update; then [`Client::found`] has the
    /// answer.
    ///
    /// # Errors
    /// [`Refused`] when a role on the way cannot be had.
    pub fn find(&mut self, path: &str) -> Result<Vec<Change>, Refused> {
        let mut search = Search {
            path: path.to_owned(),
            left: Vec::new(),
            asked: BTreeSet::new(),
            found: None,
        };
        let Some(targets) = self.targets.get(TARGETS) else {
            let role = TARGETS.to_owned();
            return Err(Refused::NotDelegated { role });
        };
        search.ask(TARGETS, targets);
        self.search = Some(search);
        self.go_on_searching()
    }

    /// What [`Client::find`] has found; `None` when no role that was asked lists the path.
    #[must_use]
    pub fn found(&self) -> Option<Found> {
        let search = self.search.as_ref()?;
        let file = search.found.clone()?;
        Some(self.located(&search.path, file))
    }

    /// All files of the role `name`, to which `targets` itself delegates, as far as it may list them.
    #[must_use]
    pub fn files_of(&self, name: &str) -> Vec<Found> {
        let delegations = self.targets.get(TARGETS);
        let delegations = delegations.and_then(|targets| targets.delegations.as_ref());
        let role = delegations.and_then(|delegations| delegations.role(name));
        let (Some(role), Some(targets)) = (role, self.targets.get(name)) else {
            return Vec::new();
        };
        let within = targets.targets.iter().filter(|(path, _)| role.covers(path));
        within
            .map(|(path, file)| self.located(path, file.clone()))
            .collect()
    }

    pub(super) fn go_on_searching(&mut self) -> Result<Vec<Change>, Refused> {
        let most = self.delegations_max();
        while let Some(mut search) = self.search.take() {
            let over = search.found.is_some() || search.asked.len() > most;
            let next = search.left.last().filter(|_| !over).cloned();
            let Some((role, delegator)) = next else {
                self.search = Some(search);
                break;
            };
            if search.asked.contains(&role) {
                search.left.pop();
                self.search = Some(search);
                continue;
            }
            let Some(targets) = self.targets.get(&role) else {
                self.search = Some(search);
                let changes = self.want_role(&role, Some(&delegator))?;
                // On the medium already: then there is nothing to fetch, and the search goes on.
                if self.targets.contains_key(&role) {
                    continue;
                }
                return Ok(changes);
            };
            search.left.pop();
            search.ask(&role, targets);
            self.search = Some(search);
        }
        Ok(vec![])
    }

    fn located(&self, path: &str, file: TargetFile) -> Found {
        let location = if self.root().consistent_snapshot {
            let (folder, name) = match path.rsplit_once('/') {
                Some((folder, name)) => (format!("{folder}/"), name),
                None => (String::new(), path),
            };
            format!("{folder}{}.{name}", file.hashes.prefix())
        } else {
            path.to_owned()
        };
        Found {
            path: path.to_owned(),
            file,
            location,
        }
    }
}

impl Search {
    fn ask(&mut self, name: &str, targets: &super::targets::Targets) {
        self.asked.insert(name.to_owned());
        if let Some(file) = targets.targets.get(&self.path) {
            self.found = Some(file.clone());
            return;
        }
        let roles = targets.delegations.iter().flat_map(|of| &of.roles);
        let mut next = Vec::new();
        for role in roles.filter(|role| role.covers(&self.path)) {
            next.push((role.name.clone(), name.to_owned()));
            if role.terminating {
                self.left.clear();
                break;
            }
        }
        self.left.extend(next.into_iter().rev());
    }
}
