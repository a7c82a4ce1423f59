//! `obol-soak FOLDER SECONDS`: the shipped issuer and key daemon in an empty folder, at 80 % of
//! what they are measured to do. Prints what they hold and leave behind; ends with 1 when memory or
//! descriptors grow, or a request fails that was not shed. The folder then stays.

use std::error::Error;
use std::fs;
use std::io;
use std::path::Path;
use std::process::ExitCode;
use std::thread::sleep;
use std::time::{Duration, Instant};

use obol_load::{
    Arrivals, Course, Deployment, Fault, Generator, Http, ProcessFigures, Report, Settings, judge,
    shed,
};

const SHARE: f64 = 0.8;
/// How long the closed loop runs, seconds; half as long before it, to fill caches.
const MEASURED_S: f64 = 10.0;
const CALLERS: usize = 64;
const HTTP: Http = Http::Two { connections: 16 };
const INTERVAL: Duration = Duration::from_secs(1);
const PROCESSES: [&str; 3] = ["issuer", "daemon", "worker"];
/// What each credential leaves behind: files and folders by the beginning of their names.
const KEPT: [(&str, &str); 3] = [
    ("database", "issuer.db"),
    ("registry", "keys.registry"),
    ("audit log", "audit"),
];

type Failed = Box<dyn Error>;

fn main() -> ExitCode {
    match run() {
        Ok(faults) if faults.is_empty() => ExitCode::SUCCESS,
        Ok(faults) => {
            for fault in faults {
                eprintln!("error: {fault}");
            }
            eprintln!("help: the deployment's folder has the logs of its services");
            ExitCode::from(1)
        }
        Err(error) => {
            eprintln!("error: {error}\nhelp: obol-soak FOLDER SECONDS; the folder is made");
            ExitCode::from(2)
        }
    }
}

fn run() -> Result<Vec<Fault>, Failed> {
    let mut arguments = std::env::args_os().skip(1);
    let folder = arguments.next().ok_or("no folder is named")?;
    let seconds = arguments.next().and_then(|text| text.into_string().ok());
    let seconds: u32 = seconds.ok_or("no seconds are named")?.parse()?;
    let settings = Settings {
        sessions: 16,
        platforms: &[],
        issuer_options: "",
    };
    let mut deployment = Deployment::prepare(Path::new(&folder), &settings)?;
    deployment.start_kms()?;
    deployment.start_issuer("issuer.pem")?;
    closed(&deployment, MEASURED_S / 2.0)?;
    let capacity = closed(&deployment, MEASURED_S)?.rate();
    println!("capacity {capacity:.0}/s, now {seconds} s at {SHARE} of it");
    let before = footprints(&deployment)?;
    let (courses, report) = soak(&deployment, SHARE * capacity, seconds)?;
    let after = footprints(&deployment)?;
    deployment.stop()?;
    print_load(&report);
    print_courses(&courses);
    for ((name, _), (before, after)) in KEPT.iter().zip(before.iter().zip(after)) {
        let each = after.saturating_sub(*before) as f64 / report.credentials.max(1) as f64;
        println!("{name:<10} {each:7.0} bytes a credential");
    }
    let faults = judge(&courses, &report);
    if faults.is_empty() {
        fs::remove_dir_all(&folder)?;
    }
    Ok(faults)
}

fn closed(deployment: &Deployment, seconds: f64) -> Result<Report, Failed> {
    let arrivals = Arrivals::Closed { callers: CALLERS };
    let mut plan = deployment.plan("main", HTTP, arrivals);
    plan.seconds = seconds;
    let folder = deployment.world().folder();
    let mut generator = Generator::prepare(&Deployment::binaries(), folder, &plan)?;
    generator.begin()?;
    let report = generator.report()?;
    match report.credentials {
        0 => Err(format!("nothing was signed: {:?}", report.answers).into()),
        _ => Ok(report),
    }
}

fn soak(
    deployment: &Deployment,
    per_s: f64,
    seconds: u32,
) -> Result<(Vec<Course>, Report), Failed> {
    let mut plan = deployment.plan("main", HTTP, Arrivals::Open { per_s });
    plan.seconds = seconds.into();
    let folder = deployment.world().folder();
    let mut generator = Generator::prepare(&Deployment::binaries(), folder, &plan)?;
    let processes = [
        deployment.issuer()?,
        deployment.kms()?,
        deployment.worker()?,
    ];
    let mut courses = PROCESSES.map(|name| Course {
        name,
        samples: Vec::new(),
    });
    generator.begin()?;
    let begun = Instant::now();
    for number in 1..=seconds {
        sleep((INTERVAL * number).saturating_sub(begun.elapsed()));
        for (course, process) in courses.iter_mut().zip(processes) {
            let figures = ProcessFigures::of(process);
            let figures = figures.map_err(|error| format!("{} is gone: {error}", course.name))?;
            course.samples.push(figures);
        }
    }
    let report = generator.report()?;
    Ok((courses.into(), report))
}

fn print_load(report: &Report) {
    let served = report.served;
    println!(
        "{} requests in {:.0} s, {} credentials, {} shed; p50 {:.1} ms, p99 {:.1}, p99.9 {:.1}",
        report.requests,
        report.seconds,
        report.credentials,
        shed(report),
        served.p50,
        served.p99,
        served.p999,
    );
}

fn print_courses(courses: &[Course]) {
    println!("           MiB, median of each third   peak   descriptors, fewest of each third");
    for course in courses {
        let Some(thirds) = course.thirds() else {
            continue;
        };
        let [first, second, last] = thirds.resident_kib.map(|kib| kib as f64 / 1024.0);
        let peak = course.samples.iter().map(|one| one.peak_kib).max();
        let peak = peak.map_or(0.0, |kib| kib as f64 / 1024.0);
        let [begun, middle, ended] = thirds.descriptors;
        println!(
            "{:<10} {first:7.1} {second:7.1} {last:7.1} {peak:10.1} {begun:9} {middle:7} {ended:7}",
            course.name
        );
    }
}

fn footprints(deployment: &Deployment) -> Result<[u64; 3], Failed> {
    let mut bytes = [0; 3];
    for entry in fs::read_dir(deployment.world().folder())? {
        let entry = entry?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        for (sum, (_, beginning)) in bytes.iter_mut().zip(KEPT) {
            if name.starts_with(beginning) {
                *sum += length(&entry.path())?;
            }
        }
    }
    Ok(bytes)
}

fn length(path: &Path) -> io::Result<u64> {
    let metadata = match fs::symlink_metadata(path) {
        // A service is about to replace it.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
        metadata => metadata?,
    };
    if !metadata.is_dir() {
        return Ok(metadata.len());
    }
    let entries = fs::read_dir(path)?;
    entries.map(|entry| length(&entry?.path())).sum()
}
