use std::{
    fs,
    io::{BufRead, BufReader, Write},
    net::{Ipv4Addr, TcpListener, TcpStream},
    path::{Component, Path, PathBuf},
    thread,
    time::Duration,
};

use crate::WorldError;

const PATIENCE: Duration = Duration::from_secs(10);

/// A static server: it gives the files of a folder as they are, and knows nothing of them. It lasts
/// as long as the process.
#[derive(Debug)]
pub(crate) struct Mirror;

impl Mirror {
    pub(crate) fn of(folder: PathBuf, port: u16) -> Result<Self, WorldError> {
        let failed = |error| WorldError::new(format!("the mirror on port {port}: {error}"));
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).map_err(failed)?;
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let folder = folder.clone();
                // Whoever hangs up early gets nothing, and that is all.
                thread::spawn(move || answer(stream, &folder).ok());
            }
        });
        Ok(Self)
    }
}

fn answer(mut stream: TcpStream, folder: &Path) -> std::io::Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let mut request = String::new();
    let mut reader = BufReader::new(&stream);
    reader.read_line(&mut request)?;
    let mut header = String::new();
    while reader.read_line(&mut header)? > 2 {
        header.clear();
    }
    let file = wanted(&request).and_then(|path| fs::read(folder.join(path)).ok());
    let (status, body) = match file {
        Some(body) => ("200 OK", body),
        None => ("404 Not Found", Vec::new()),
    };
    let length = body.len();
    write!(
        stream,
        "HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n"
    )?;
    stream.write_all(&body)
}

/// The path of a GET, within the folder.
fn wanted(request: &str) -> Option<PathBuf> {
    let path = request.strip_prefix("GET /")?.split(' ').next()?;
    let path = PathBuf::from(path);
    let plain = path
        .components()
        .all(|part| matches!(part, Component::Normal(_)));
    plain.then_some(path)
}
