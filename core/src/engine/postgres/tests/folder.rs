//! A dump as a plain folder, for comparisons with stock tools on any database.
//!
//! `LASTGOOD_TEST_POSTGRES_SOURCE` is dumped into `LASTGOOD_TEST_POSTGRES_FOLDER` (which then is what pg_restore
//! reads), and restored into `LASTGOOD_TEST_POSTGRES_TARGET`; each step is left out if its variable is not set.

use std::io::Write as _;
use std::path::Path;

use super::*;

/// Writes the files, and beside them the length of each part.
async fn write(snapshot: Box<dyn Snapshot>, folder: &Path) -> SnapshotSummary {
    std::fs::create_dir_all(folder).unwrap();
    let files = snapshot.files().to_vec();
    let refs =
        files.iter().enumerate().flat_map(|(file, f)| (0..f.parts.len()).map(move |part| PartRef { file, part }));
    let read = |part: PartRef| {
        let (stream, name) =
            (snapshot.read(part), folder.join(format!("{}.part-{}", files[part.file].name, part.part)));
        async move {
            let mut out = std::fs::File::create(name).unwrap();
            let write = |piece: bytes::Bytes| std::future::ready(out.write_all(&piece).map_err(|_| Error::cancelled()));
            stream.try_for_each(write).await
        }
    };
    futures::stream::iter(refs).map(read).buffer_unordered(2).try_collect::<()>().await.unwrap();
    snapshot.finish().await.unwrap()
}

/// Joins the parts to the files that pg_restore reads. Returns them with their parts' lengths.
fn join(files: &Path) -> Vec<(String, Vec<u64>)> {
    let mut joined = std::collections::BTreeMap::<String, std::collections::BTreeMap<usize, u64>>::new();
    for entry in std::fs::read_dir(files).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        if let Some((file, part)) = name.split_once(".part-") {
            let length = entry.metadata().unwrap().len();
            joined.entry(file.to_owned()).or_default().insert(part.parse().unwrap(), length);
        }
    }
    for (file, parts) in &joined {
        let mut out = std::fs::File::create(files.join(file)).unwrap();
        for part in parts.keys() {
            let part = files.join(format!("{file}.part-{part}"));
            std::io::copy(&mut std::fs::File::open(&part).unwrap(), &mut out).unwrap();
            std::fs::remove_file(part).unwrap();
        }
    }
    joined.into_iter().map(|(file, parts)| (file, parts.into_values().collect())).collect()
}

async fn load(target: &dyn Engine, folder: &Path, files: &[(String, Vec<u64>)]) -> Vec<Warning> {
    let mut opened = target.target(&plain()).await.unwrap();
    let is_schema = |name: &str| matches!(name, "toc.dat" | "blobs.toc");
    let (schema, data): (Vec<_>, Vec<_>) = files.iter().partition(|f| is_schema(&f.0));
    let schema = schema.iter().map(|f| (f.0.clone(), std::fs::read(folder.join(&f.0)).unwrap().into())).collect();
    let stored: Vec<_> = data.iter().map(|f| StoredFile { name: f.0.clone(), bytes: Some(f.1.iter().sum()) }).collect();
    opened.prepare(schema, &stored).await.unwrap();
    let mut places = Vec::new();
    for (name, parts) in &data {
        let mut offset = 0;
        for &bytes in parts {
            places.push((name.clone(), offset, bytes));
            offset += bytes;
        }
    }
    let load = |(file, offset, bytes): (String, u64, u64)| {
        let (opened, path) = (&opened, folder.join(&file));
        async move {
            let place = PartPlace { file: &file, offset, bytes: Some(bytes) };
            let pieces = async_stream::try_stream! {
                use std::io::{Read as _, Seek as _};
                let mut file = std::fs::File::open(path).unwrap();
                file.seek(std::io::SeekFrom::Start(place.offset)).unwrap();
                let mut left = usize::try_from(bytes).unwrap();
                while left > 0 {
                    let mut piece = vec![0; left.min(256 << 10)];
                    file.read_exact(&mut piece).unwrap();
                    left -= piece.len();
                    yield bytes::Bytes::from(piece);
                }
            };
            opened.load(place, pieces.boxed()).await
        }
    };
    futures::stream::iter(places).map(load).buffer_unordered(2).try_collect::<()>().await.unwrap();
    opened.finish().await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_to_a_folder_and_back() {
    let Ok(folder) = std::env::var("LASTGOOD_TEST_POSTGRES_FOLDER") else { return };
    let folder = Path::new(&folder);
    let Ok(source) = std::env::var("LASTGOOD_TEST_POSTGRES_SOURCE") else { return };
    let source = Postgres::new(&source).unwrap();
    let started = std::time::Instant::now();
    let snapshot = source.snapshot(&options(8 << 20)).await.unwrap();
    let opened = started.elapsed();
    let summary = write(snapshot, folder).await;
    let dumped = started.elapsed();
    let files = join(folder);
    let bytes: u64 = files.iter().flat_map(|f| &f.1).sum();
    let rows: u64 = summary.tables.iter().map(|t| t.rows).sum();
    let mut report = format!("dumped {bytes} bytes, {rows} rows in {dumped:?}, {opened:?} of it to open\n");
    for warning in &summary.warnings {
        report += &format!("{}: {}\n", warning.code, warning.message);
    }
    if let Ok(target) = std::env::var("LASTGOOD_TEST_POSTGRES_TARGET") {
        let target = Postgres::new(&target).unwrap();
        let started = std::time::Instant::now();
        let warnings = load(&target, folder, &files).await;
        report += &format!("restored in {:?} {warnings:?}\n", started.elapsed());
        let started = std::time::Instant::now();
        let restored = target.summarize(&summary.tables, 2).await.unwrap();
        report += &format!("summed up in {:?}\n", started.elapsed());
        let differing = summary.tables.iter().filter(|t| !restored.contains(t)).map(|t| &t.name).collect::<Vec<_>>();
        report += &format!("differing tables: {differing:?}\n");
    }
    std::fs::write(folder.join("report.txt"), report).unwrap();
}
