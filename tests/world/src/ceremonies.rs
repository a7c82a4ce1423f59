//! The ceremonies that make a world's hierarchy, by the plans that are shipped.

use std::{collections::BTreeSet, fs};

use serde::Deserialize;
use serde_json::Value;

use crate::{
    Sites, World, WorldError,
    people::{ROSTER, WITNESS, key_of},
    sites::Site,
    world::OPERATOR,
};

type Changes = &'static [(&'static str, &'static str)];

const SHARD_2: Changes = &[
    ("issuer-1", "issuer-2"),
    ("issuer 1", "issuer 2"),
    ("Issuer 1", "Issuer 2"),
];
const TUF_ALICE: Changes = &[
    ("tuf-targets.csr", "tuf-alice.csr"),
    ("\"targets\"", "\"tuf-alice\""),
    ("tuf-targets", "tuf-root-alice"),
    ("TUF targets", "TUF root alice"),
];
const TUF_BOB: Changes = &[
    ("tuf-targets.csr", "tuf-bob.csr"),
    ("\"targets\"", "\"tuf-bob\""),
    ("tuf-targets", "tuf-root-bob"),
    ("TUF targets", "TUF root bob"),
];
const TUF_CAROL: Changes = &[
    ("tuf-targets.csr", "tuf-carol.csr"),
    ("\"targets\"", "\"tuf-carol\""),
    ("tuf-targets", "tuf-root-carol"),
    ("TUF targets", "TUF root carol"),
];
const BY_BOB: Changes = &[("alice", "bob")];

/// Where papers and bundles of all ceremonies are.
const FOLDER: &str = "ceremonies";

/// A ceremony by a shipped plan: where it is held, which files it reads there, who approves.
#[derive(Debug)]
pub struct Ceremony {
    name: &'static str,
    template: &'static str,
    /// What is written otherwise than in the shipped plan: another shard, another officer.
    changes: Changes,
    site: Site,
    token: &'static str,
    inputs: &'static [&'static str],
    /// Both approve, and the first executes.
    officers: [&'static str; 2],
}

impl Ceremony {
    /// The root's key and certificate.
    pub const ROOT: [Ceremony; 1] = [Ceremony {
        name: "root-generation",
        template: include_str!("../../../policies/ceremonies/root-generation.toml"),
        changes: &[],
        site: Site::Offline,
        token: "root",
        inputs: &[],
        officers: ["alice", "bob"],
    }];

    /// The access CA: its key asks online, the root certifies offline, the certificate comes back.
    pub const ACCESS_CA: [Ceremony; 3] = [
        Ceremony {
            name: "access-key-request",
            template: include_str!("../../../policies/ceremonies/access-key-request.toml"),
            changes: &[],
            site: Site::Online,
            token: "access",
            inputs: &[],
            officers: ["bob", "carol"],
        },
        Ceremony {
            name: "access-ca",
            template: include_str!("../../../policies/ceremonies/access-ca.toml"),
            changes: &[],
            site: Site::Offline,
            token: "root",
            inputs: &["root.pem", "access.csr"],
            officers: ["alice", "carol"],
        },
        Ceremony {
            name: "access-install",
            template: include_str!("../../../policies/ceremonies/access-install.toml"),
            changes: &[],
            site: Site::Online,
            token: "access",
            inputs: &["access.csr", "access.pem", "root.pem"],
            officers: ["bob", "carol"],
        },
    ];

    /// The issuer's keys, one a shard, the same way.
    pub const ISSUERS: [Ceremony; 6] = [
        Ceremony {
            name: "issuer-key-request",
            template: include_str!("../../../policies/ceremonies/issuer-key-request.toml"),
            changes: &[],
            site: Site::Online,
            token: "issuer",
            inputs: &[],
            officers: ["bob", "carol"],
        },
        Ceremony {
            name: "issuer-certificate",
            template: include_str!("../../../policies/ceremonies/issuer-certificate.toml"),
            changes: &[],
            site: Site::Offline,
            token: "root",
            inputs: &["root.pem", "issuer-1.csr"],
            officers: ["alice", "carol"],
        },
        Ceremony {
            name: "issuer-install",
            template: include_str!("../../../policies/ceremonies/issuer-install.toml"),
            changes: &[],
            site: Site::Online,
            token: "issuer",
            inputs: &["issuer-1.csr", "issuer-1.pem", "root.pem"],
            officers: ["bob", "carol"],
        },
        Ceremony {
            name: "issuer-2-key-request",
            template: include_str!("../../../policies/ceremonies/issuer-key-request.toml"),
            changes: SHARD_2,
            site: Site::Online,
            token: "issuer",
            inputs: &[],
            officers: ["bob", "carol"],
        },
        Ceremony {
            name: "issuer-2-certificate",
            template: include_str!("../../../policies/ceremonies/issuer-certificate.toml"),
            changes: SHARD_2,
            site: Site::Offline,
            token: "root",
            inputs: &["root.pem", "issuer-2.csr"],
            officers: ["alice", "carol"],
        },
        Ceremony {
            name: "issuer-2-install",
            template: include_str!("../../../policies/ceremonies/issuer-install.toml"),
            changes: SHARD_2,
            site: Site::Online,
            token: "issuer",
            inputs: &["issuer-2.csr", "issuer-2.pem", "root.pem"],
            officers: ["bob", "carol"],
        },
    ];

    /// Keys of the trust repository that are offline: three officers' and that of targets.
    pub const TRUST_KEYS: [Ceremony; 4] = [
        Ceremony {
            name: "tuf-alice-key",
            template: include_str!("../../../policies/ceremonies/tuf-key-request.toml"),
            changes: TUF_ALICE,
            site: Site::Offline,
            token: "tuf-alice",
            inputs: &[],
            officers: ["alice", "bob"],
        },
        Ceremony {
            name: "tuf-bob-key",
            template: include_str!("../../../policies/ceremonies/tuf-key-request.toml"),
            changes: TUF_BOB,
            site: Site::Offline,
            token: "tuf-bob",
            inputs: &[],
            officers: ["bob", "carol"],
        },
        Ceremony {
            name: "tuf-carol-key",
            template: include_str!("../../../policies/ceremonies/tuf-key-request.toml"),
            changes: TUF_CAROL,
            site: Site::Offline,
            token: "tuf-carol",
            inputs: &[],
            officers: ["carol", "alice"],
        },
        Ceremony {
            name: "tuf-targets-key",
            template: include_str!("../../../policies/ceremonies/tuf-key-request.toml"),
            changes: &[],
            site: Site::Offline,
            token: "targets",
            inputs: &[],
            officers: ["alice", "bob"],
        },
    ];

    /// What those keys sign: the root by two officers, targets for three periods ahead.
    pub const TRUST: [Ceremony; 3] = [
        Ceremony {
            name: "tuf-root-alice",
            template: include_str!("../../../policies/ceremonies/tuf-root.toml"),
            changes: &[],
            site: Site::Offline,
            token: "tuf-alice",
            inputs: &["root-1.json"],
            officers: ["alice", "bob"],
        },
        Ceremony {
            name: "tuf-root-bob",
            template: include_str!("../../../policies/ceremonies/tuf-root.toml"),
            changes: BY_BOB,
            site: Site::Offline,
            token: "tuf-bob",
            inputs: &["root-1.json"],
            officers: ["bob", "carol"],
        },
        Ceremony {
            name: "tuf-targets",
            template: include_str!("../../../policies/ceremonies/tuf-targets.toml"),
            changes: &[],
            site: Site::Offline,
            token: "targets",
            inputs: &["targets-1.json", "targets-2.json", "targets-3.json"],
            officers: ["alice", "carol"],
        },
    ];

    /// Root and targets that name the next online key.
    pub const NEXT_ONLINE: [Ceremony; 3] = [
        Ceremony {
            name: "tuf-root-2-alice",
            template: include_str!("../../../policies/ceremonies/tuf-root-rotation.toml"),
            changes: &[],
            site: Site::Offline,
            token: "tuf-alice",
            inputs: &["root-2.json"],
            officers: ["alice", "bob"],
        },
        Ceremony {
            name: "tuf-root-2-bob",
            template: include_str!("../../../policies/ceremonies/tuf-root-rotation.toml"),
            changes: BY_BOB,
            site: Site::Offline,
            token: "tuf-bob",
            inputs: &["root-2.json"],
            officers: ["bob", "carol"],
        },
        Ceremony {
            name: "tuf-targets-1001",
            template: include_str!("../../../policies/ceremonies/emergency-block.toml"),
            changes: &[
                ("Issuer 1 of", "Online keys of"),
                ("is blocked", "are replaced"),
            ],
            site: Site::Offline,
            token: "targets",
            inputs: &["targets-1001.json"],
            officers: ["alice", "carol"],
        },
    ];

    /// Those that make the hierarchy, in the order in which they are held.
    pub fn all() -> impl Iterator<Item = &'static Ceremony> {
        let groups = [
            &Self::ROOT[..],
            &Self::ACCESS_CA,
            &Self::ISSUERS,
            &Self::TRUST_KEYS,
            &Self::TRUST,
        ];
        groups.into_iter().flatten()
    }

    /// The name of its plan.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Its bundle, by its path in the world's folder.
    #[must_use]
    pub fn bundle(&self) -> String {
        self.paper("bundle")
    }

    fn paper(&self, name: &str) -> String {
        format!("{FOLDER}/{}/{name}", self.name)
    }

    /// The shipped plan with this world's operator in it.
    fn plan_of_operator(&self) -> String {
        let capital = OPERATOR[..1].to_uppercase() + &OPERATOR[1..];
        let plan = self.template.replace("linea", OPERATOR);
        let plan = plan.replace("Linea", &capital);
        let changes = self.changes.iter();
        changes.fold(plan, |plan, (from, to)| plan.replace(from, to))
    }
}

/// What the auditor's command says of every bundle.
#[derive(Debug, Default)]
pub struct Audit {
    /// Bundles that hold.
    pub bundles: usize,
    /// Steps of them all.
    pub steps: usize,
    /// Files that they were given, each made in one of them.
    pub carried: usize,
    /// Files that they were given to sign, which no ceremony has made.
    pub drafts: usize,
    /// What did not go as planned.
    pub exceptions: usize,
    /// Who approved.
    pub officers: BTreeSet<String>,
}

/// A line of the auditor's command.
#[derive(Deserialize)]
struct Said {
    steps: Vec<Value>,
    exceptions: Vec<Value>,
    approved_by: Vec<String>,
    inputs: Vec<Input>,
}

#[derive(Deserialize)]
struct Input {
    name: String,
    made_in: Option<String>,
}

impl World {
    /// Holds a ceremony from its plan to its bundle: the plan is filled in and printed, rehearsed
    /// on a throwaway token, approved by two officers, run before a witness.
    ///
    /// # Errors
    /// What the first command that fails has said.
    pub fn hold(&self, sites: &Sites, ceremony: &Ceremony) -> Result<(), WorldError> {
        if !self.path(FOLDER).exists() {
            self.make_folder(FOLDER)?;
        }
        self.make_folder(&format!("{FOLDER}/{}", ceremony.name))?;
        for file in ceremony.inputs {
            if !self.path(&ceremony.site.file(file)).exists() {
                self.carry(file, ceremony.site)?;
            }
        }
        self.plan(ceremony)?;
        self.rehearse(ceremony)?;
        let approvals = self.approve(ceremony)?;
        self.run_ceremony(sites, ceremony, &approvals)?;
        self.keep_outputs(ceremony)
    }

    /// Lets everybody have the certificates that the ceremonies made.
    ///
    /// # Errors
    /// When one is not there.
    pub fn hand_out_certificates(&self) -> Result<(), WorldError> {
        let made = [
            ("root.pem", "root.pem"),
            ("access-installed.pem", "access.pem"),
            ("issuer-1-installed.pem", "issuer.pem"),
            ("issuer-2-installed.pem", "issuer-2.pem"),
        ];
        for (made, known) in made {
            self.copy(&Site::Online.file(made), known)?;
        }
        Ok(())
    }

    /// Checks every bundle by the auditor's one command, given the roster's hash as it was read
    /// aloud.
    ///
    /// # Errors
    /// When one does not hold, or has read a file that none of them made and that is no draft of
    /// what it signs: the error has the command's words.
    pub fn audit_ceremonies(&self, sites: &Sites) -> Result<Audit, WorldError> {
        let bundles: Vec<_> = Ceremony::all().map(Ceremony::bundle).collect();
        let mut verify = vec!["ceremony", "verify", "--json", "--roster", &sites.roster];
        verify.extend(bundles.iter().map(String::as_str));
        let ran = self.tool("obol-kms").succeed(&verify)?;
        let mut audit = Audit::default();
        for line in ran.stdout.lines() {
            let said: Said = serde_json::from_str(line).map_err(|_| ran.unexpected())?;
            let unmade = said.inputs.iter().filter(|input| input.made_in.is_none());
            let drafts = unmade.clone().filter(|input| input.name.ends_with(".json"));
            if unmade.count() != drafts.clone().count() {
                return Err(ran.unexpected());
            }
            let drafts = drafts.count();
            audit.bundles += 1;
            audit.steps += said.steps.len();
            audit.carried += said.inputs.len() - drafts;
            audit.drafts += drafts;
            audit.exceptions += said.exceptions.len();
            audit.officers.extend(said.approved_by);
        }
        Ok(audit)
    }

    /// A file's hash as it is read aloud: 64 hexadecimal digits, and 24 words in lines of six.
    ///
    /// # Errors
    /// When there is no such file.
    pub fn read_aloud(&self, file: &str) -> Result<String, WorldError> {
        let said = self.tool("obol-kms").succeed(&["ceremony", "hash", file])?;
        let hash = said.stdout.split_once(' ').map(|(_, hash)| hash.to_owned());
        hash.ok_or_else(|| said.unexpected())
    }

    /// Carries a file from the other site; both read its hash aloud.
    pub(crate) fn carry(&self, file: &str, to: Site) -> Result<(), WorldError> {
        let from = match to {
            Site::Online => Site::Offline,
            _ => Site::Online,
        };
        let (from, to) = (from.file(file), to.file(file));
        self.copy(&from, &to)?;
        let (sent, came) = (self.read_aloud(&from)?, self.read_aloud(&to)?);
        if sent != came {
            let what = format!("{to} is not what left: {came}, and {sent} was sent");
            return Err(WorldError::new(what));
        }
        Ok(())
    }

    fn plan(&self, ceremony: &Ceremony) -> Result<(), WorldError> {
        let Ceremony { site, token, .. } = ceremony;
        let (template, plan) = (ceremony.paper("template.toml"), ceremony.paper("plan.toml"));
        self.write(&template, &ceremony.plan_of_operator())?;
        let token = format!("{token}={}", site.ceremony_token(token));
        let inputs = ceremony.inputs.iter();
        let inputs: Vec<_> = inputs.map(|i| format!("{i}={}", site.file(i))).collect();
        let mut fill = vec!["ceremony", "fill", &template, "--token", &token];
        fill.extend(["--out", &plan]);
        fill.extend(inputs.iter().flat_map(|input| ["--input", input]));
        let kms = self.tool_at(*site, "obol-kms");
        kms.succeed(&fill)?;
        let procedure = (
            ceremony.paper("procedure.md"),
            ceremony.paper("procedure.html"),
        );
        let print = ["--markdown", &procedure.0, "--html", &procedure.1];
        let plan = ["ceremony", "plan", &plan, "--roster", ROSTER];
        kms.succeed(&[&plan[..], &print].concat()).map(drop)
    }

    fn rehearse(&self, ceremony: &Ceremony) -> Result<(), WorldError> {
        let throwaway = Site::Rehearsals.file(&format!("{}.token.toml", ceremony.name));
        let token = format!("{}={throwaway}", ceremony.token);
        let (plan, out) = (ceremony.paper("plan.toml"), ceremony.paper("rehearsal"));
        let rehearse = [
            "ceremony", "rehearse", &plan, "--token", &token, "--out", &out,
        ];
        let initials = self.initials(ceremony)?;
        self.among_people(Site::Rehearsals, ceremony, &rehearse, &initials)
    }

    /// Both officers approve what was rehearsed; the arguments that say so.
    fn approve(&self, ceremony: &Ceremony) -> Result<Vec<String>, WorldError> {
        let kms = self.tool_at(ceremony.site, "obol-kms");
        let (plan, request) = (ceremony.paper("plan.toml"), ceremony.paper("request"));
        let rehearsal = ceremony.paper("rehearsal");
        let draw = [
            "ceremony", "request", &plan, "--roster", ROSTER, "--out", &request,
        ];
        kms.succeed(&[&draw[..], &["--rehearsal", &rehearsal]].concat())?;
        let mut arguments = Vec::new();
        for officer in ceremony.officers {
            let out = ceremony.paper(&format!("{officer}.approval"));
            let approve = [
                "ceremony",
                "approve",
                "--request",
                &request,
                "--plan",
                &plan,
            ];
            let signed = ["--key", &key_of(officer), "--out", &out];
            kms.succeed_with_input(&[&approve[..], &signed].concat(), b"yes\n")?;
            arguments.extend(["--approval".to_owned(), out]);
        }
        Ok(arguments)
    }

    fn run_ceremony(
        &self,
        sites: &Sites,
        ceremony: &Ceremony,
        approvals: &[String],
    ) -> Result<(), WorldError> {
        let Ceremony { site, token, .. } = ceremony;
        let (plan, rehearsal) = (ceremony.paper("plan.toml"), ceremony.paper("rehearsal"));
        let (named, bundle) = (
            format!("{token}={}", site.ceremony_token(token)),
            ceremony.bundle(),
        );
        let shares = format!("{token}={}", site.file("root.shares.toml"));
        let mut run = vec!["ceremony", "run", &plan, "--rehearsal", &rehearsal];
        run.extend(["--token", &named, "--out", &bundle]);
        if *token == "root" {
            run.extend(["--shares", &shares]);
        }
        run.extend(approvals.iter().map(String::as_str));
        let typed = format!("{}yes\n{}", sites.pin(token), self.initials(ceremony)?);
        self.among_people(*site, ceremony, &run, &typed)
    }

    /// A command that executor and witness attend.
    fn among_people(
        &self,
        at: Site,
        ceremony: &Ceremony,
        command: &[&str],
        typed: &str,
    ) -> Result<(), WorldError> {
        let (executor, witness) = (key_of(ceremony.officers[0]), key_of(WITNESS));
        let people = ["--executor", &executor, "--witness", &witness];
        let files = ["--roster", ROSTER, "--inputs", ceremony.site.folder()];
        self.tool_at(at, "obol-kms")
            .succeed_with_input(&[command, &people, &files].concat(), typed.as_bytes())
            .map(drop)
    }

    /// Executor and witness, before each step and after it.
    fn initials(&self, ceremony: &Ceremony) -> Result<String, WorldError> {
        let plan = self.read(&ceremony.paper("plan.toml"))?;
        let times = 2 * plan.matches("[[steps]]").count();
        Ok(format!("{}\n{WITNESS}\n", ceremony.officers[0]).repeat(times))
    }

    /// What the ceremony made stays at its site.
    fn keep_outputs(&self, ceremony: &Ceremony) -> Result<(), WorldError> {
        let folder = format!("{}/outputs", ceremony.bundle());
        let failed = |error| WorldError::new(format!("{folder}: {error}"));
        for entry in fs::read_dir(self.path(&folder)).map_err(failed)? {
            let name = entry.map_err(failed)?.file_name();
            let name = name.to_string_lossy();
            self.copy(&format!("{folder}/{name}"), &ceremony.site.file(&name))?;
        }
        Ok(())
    }

    pub(crate) fn copy(&self, from: &str, to: &str) -> Result<(), WorldError> {
        fs::copy(self.path(from), self.path(to))
            .map(drop)
            .map_err(|error| WorldError::new(format!("{from} to {to}: {error}")))
    }
}
