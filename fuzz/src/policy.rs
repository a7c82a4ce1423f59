//! Cedar policies as an operator may change them.

use std::path::Path;

use obol_kms_policy::Policy;

use crate::Taken;
use crate::files::with_folder;

const SCHEMA: &[u8] = include_bytes!("../../policies/kms/schema.cedarschema");
const PERMITS: &[u8] = include_bytes!("../../policies/kms/permits.cedar");

pub(crate) fn cedar_policies(data: &[u8]) -> Taken {
    load(SCHEMA, data)
}

pub(crate) fn cedar_schema(data: &[u8]) -> Taken {
    load(data, PERMITS)
}

fn load(schema: &[u8], policies: &[u8]) -> Taken {
    with_folder(|folder: &Path| {
        let write = |name: &str, bytes: &[u8]| {
            std::fs::write(folder.join(name), bytes).expect("a temporary folder takes a file");
        };
        write("schema.cedarschema", schema);
        write("fuzzed.cedar", policies);
        Policy::load(folder).into()
    })
}
