//! The bridge to Cedar.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::error::Error;
use std::str::FromStr;

use cedar_policy::{
    AuthorizationError, Authorizer, Context, Decision, Entities, Entity, EntityId, EntityTypeName,
    EntityUid, Policy, PolicyId, PolicySet, Request, RestrictedExpression, Schema, ValidationMode,
    Validator,
};
use data_encoding::HEXLOWER;

use crate::decision::{Denial, Verdict};
use crate::question::{KeyClass, Payload, Question, Role};
use crate::source::{POLICIES_MAX, PolicyError, Source, at_most};

const ID_MAX: usize = 64;
/// Reason when Cedar itself refuses the question: the schema and the code disagree.
const SCHEMA_FAULT: &str = "schema.cedarschema";

#[derive(Debug)]
pub(crate) struct Cedar {
    schema: Schema,
    policies: PolicySet,
    names: Names,
}

/// The code's words in Cedar's form.
#[derive(Debug)]
struct Names {
    client: EntityTypeName,
    key: EntityTypeName,
    roles: HashMap<Role, EntityUid>,
    classes: HashMap<KeyClass, EntityUid>,
    actions: HashMap<Payload, EntityUid>,
}

impl Cedar {
    pub(crate) fn new(source: &Source) -> Result<Cedar, PolicyError> {
        let (schema, mut warnings) = Schema::from_cedarschema_str(source.schema()?)
            .map_err(|error| syntax("schema.cedarschema", error))?;
        if let Some(warning) = warnings.next() {
            return Err(syntax("schema.cedarschema", warning));
        }
        let policies = read_policies(source)?;
        validate(&schema, &policies)?;
        let names = Names::new(&schema)?;
        Ok(Cedar {
            schema,
            policies,
            names,
        })
    }

    pub(crate) fn judge(&self, question: &Question) -> Verdict {
        let Ok((request, entities)) = self.ask(question) else {
            return Verdict::Refused(Denial::Broken([SCHEMA_FAULT.to_owned()].into()));
        };
        let response = Authorizer::new().is_authorized(&request, &self.policies, &entities);
        // Cedar leaves a policy out that it cannot evaluate, and it may be a forbidding one.
        let broken: BTreeSet<String> = response
            .diagnostics()
            .errors()
            .map(|error| match error {
                AuthorizationError::PolicyEvaluationError(error) => error.policy_id().to_string(),
            })
            .collect();
        if !broken.is_empty() {
            return Verdict::Refused(Denial::Broken(broken.into_iter().collect()));
        }
        let reason = response.diagnostics().reason().map(ToString::to_string);
        match response.decision() {
            Decision::Allow => Verdict::of(Vec::new(), reason.collect()),
            Decision::Deny => Verdict::of(reason.collect(), Vec::new()),
        }
    }

    fn ask(&self, question: &Question) -> Result<(Request, Entities), Box<dyn Error>> {
        let Names {
            client,
            key,
            roles,
            classes,
            actions,
        } = &self.names;
        let client =
            EntityUid::from_type_name_and_id(client.clone(), EntityId::new(question.client.name()));
        let key = EntityUid::from_type_name_and_id(
            key.clone(),
            EntityId::new(HEXLOWER.encode(&question.spki)),
        );
        let number = |value: i64| RestrictedExpression::new_long(value);
        let context = Context::from_pairs([
            (
                "hour".to_owned(),
                number(question.context.hour.get().into()),
            ),
            (
                "batch".to_owned(),
                number(question.context.batch.get().into()),
            ),
            (
                "approvals".to_owned(),
                number(question.context.approvals.into()),
            ),
        ])?;
        let member = |uid: &EntityUid, of: &EntityUid| {
            Entity::new_no_attrs(uid.clone(), HashSet::from([of.clone()]))
        };
        let entities = [
            member(&client, &roles[&question.client.role()]),
            member(&key, &classes[&question.class]),
        ];
        let entities = Entities::from_entities(entities, Some(&self.schema))?;
        let action = actions[&question.payload].clone();
        let request = Request::new(client, action, key, context, Some(&self.schema))?;
        Ok((request, entities))
    }
}

impl Names {
    /// # Errors
    /// The schema lacks one of them: policies could not speak of it, so its questions would all be
    /// denied or, worse, escape a limit.
    fn new(schema: &Schema) -> Result<Names, PolicyError> {
        let types: BTreeSet<String> = schema.entity_types().map(ToString::to_string).collect();
        let actions: BTreeSet<String> = schema.actions().map(ToString::to_string).collect();
        let type_name = |name: &str| {
            if !types.contains(name) {
                return Err(PolicyError::Vocabulary(format!("entity {name}")));
            }
            EntityTypeName::from_str(name).map_err(|error| syntax(name, error))
        };
        let uid = |kind: &str, id: &str| {
            EntityTypeName::from_str(kind)
                .map(|kind| EntityUid::from_type_name_and_id(kind, EntityId::new(id)))
                .map_err(|error| syntax(kind, error))
        };
        let (client, key) = (type_name("Client")?, type_name("Key")?);
        type_name("Role")?;
        type_name("KeyClass")?;
        let mut names = Names {
            client,
            key,
            roles: HashMap::new(),
            classes: HashMap::new(),
            actions: HashMap::new(),
        };
        for role in Role::ALL {
            names.roles.insert(role, uid("Role", role.name())?);
        }
        for class in KeyClass::ALL {
            names.classes.insert(class, uid("KeyClass", class.name())?);
        }
        for payload in Payload::ALL {
            let action = uid("Action", &format!("sign-{}", payload.name()))?;
            if !actions.contains(&action.to_string()) {
                return Err(PolicyError::Vocabulary(action.to_string()));
            }
            names.actions.insert(payload, action);
        }
        Ok(names)
    }
}

/// All policies of all files, each under the name that its `@id` gives it.
fn read_policies(source: &Source) -> Result<PolicySet, PolicyError> {
    let mut all = PolicySet::new();
    for file in source.policies() {
        let (file, text) = file?;
        let set = PolicySet::from_str(text).map_err(|error| syntax(file, error))?;
        if set.templates().next().is_some() {
            return Err(PolicyError::Syntax {
                file: file.to_owned(),
                message: "it has a template; only whole policies are taken".to_owned(),
                source: None,
            });
        }
        let mut policies: Vec<&Policy> = set.policies().collect();
        // Cedar numbers them policy0, policy1, ... in the order of the file.
        policies.sort_by_key(|policy| (policy.id().to_string().len(), policy.id().to_string()));
        for (index, policy) in policies.into_iter().enumerate() {
            let nameless = || PolicyError::Id {
                file: file.to_owned(),
                number: index + 1,
            };
            let id = policy
                .annotation("id")
                .filter(|id| is_id(id))
                .ok_or_else(nameless)?;
            all.add(policy.new_id(PolicyId::new(id)))
                .map_err(|_| nameless())?;
        }
    }
    at_most(
        "the number of policies",
        all.num_of_policies() as u64,
        POLICIES_MAX as u64,
    )?;
    Ok(all)
}

fn is_id(id: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    (1..=ID_MAX).contains(&id.len()) && id.bytes().all(allowed)
}

/// A warning counts as an error: it says that a policy can never apply, or looks like another.
fn validate(schema: &Schema, policies: &PolicySet) -> Result<(), PolicyError> {
    let verdict = Validator::new(schema.clone()).validate(policies, ValidationMode::Strict);
    let error = verdict
        .validation_errors()
        .map(|error| (error.policy_id().to_string(), error.to_string()));
    let warning = verdict
        .validation_warnings()
        .map(|warning| (warning.policy_id().to_string(), warning.to_string()));
    match error.chain(warning).next() {
        None => Ok(()),
        Some((policy, message)) => Err(PolicyError::Invalid { policy, message }),
    }
}

fn syntax(file: &str, error: impl Error + Send + Sync + 'static) -> PolicyError {
    PolicyError::Syntax {
        file: file.to_owned(),
        message: error.to_string(),
        source: Some(Box::new(error)),
    }
}
