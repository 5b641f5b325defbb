//! The command line, over the same facade as every other caller. Behind the feature `cli`.

mod args;
mod log;
mod output;
mod progress;
mod signals;

use clap::Parser;

use crate::error::{Error, Result};
use crate::progress::CancellationToken;
use crate::schedule::{ScheduleHandle, ScheduleStatus};
use crate::secret::Secret;
use crate::vault::{
    AddKey, Backup, Doctor, ExportFormat, Health, Prune, Restore, RotateKey, Vault, VaultOptions, new_key_of_env,
    read_secret,
};
use crate::{Mapping, Selection};
use args::{Args, Command, FormatArg};
use output::Output;

/// Runs the command line with these arguments (the first one is the program's name) and gives its exit code.
///
/// # Exit codes
/// 0 done; 2 invalid arguments or settings; 3 refused; 4 damaged; 5 denied; 6 not found; 7 busy; 8 unavailable; 70 a defect;
/// 130 cancelled. Asked to end a second time (Ctrl-C, SIGTERM), it ends the process with 130 there and then.
pub async fn run(arguments: impl IntoIterator<Item = std::ffi::OsString>) -> u8 {
    let args = match Args::try_parse_from(arguments) {
        Ok(args) => args,
        Err(e) => {
            // Help and version are no errors, and clap knows where each belongs.
            let _ = e.print();
            return u8::try_from(e.exit_code()).unwrap_or(2);
        }
    };
    log::start(args.verbose, args.json);
    let output = Output::new(args.json);
    let cancel = CancellationToken::new();
    let requests = tokio::spawn(signals::heed(cancel.clone()));
    let result = perform(args, &output, cancel).await;
    requests.abort();
    match result {
        Ok(()) => 0,
        Err(e) => {
            output.error(&e);
            e.kind().exit_code()
        }
    }
}

async fn perform(args: Args, output: &Output, cancel: CancellationToken) -> Result<()> {
    let bar = progress::Bar::new(args.quiet);
    let told = bar.clone();
    let on_progress = move |p| told.tell(p);
    #[cfg(feature = "sqlite")]
    if matches!(args.command, Command::SqliteTask) {
        return Output::json(&crate::engine::sqlite::live::serve().await?);
    }
    let builder = Vault::builder().options(vault_options(&args));
    if let Command::Doctor { table, index, strict } = args.command {
        // It tells why a vault cannot be opened.
        let options = Doctor { tables: table, indexes: index };
        return tokio::select! {
            report = builder.doctor_for(options) => output.doctor(&report, strict),
            () = cancel.cancelled() => Err(Error::cancelled()),
        };
    }
    let vault = tokio::select! {
        opened = builder.open() => opened?,
        () = cancel.cancelled() => return Err(Error::cancelled()),
    };
    match args.command {
        Command::Backup { tag, globals, select, .. } => {
            let verb = vault.backup().options(Backup { tags: tag, globals, select: select.selection() });
            let report = verb.on_progress(on_progress).cancel(cancel).await;
            bar.clear();
            output.backup(&report?)
        }
        Command::List { limit } => {
            let verb = limit.into_iter().fold(vault.list(), |verb, limit| verb.limit(limit));
            output.list(&verb.cancel(cancel).await?)
        }
        Command::Artifacts => output.artifacts(&vault.artifacts().cancel(cancel).await?),
        Command::Import { artifact, from, tag, no_owner, no_privileges, from_database } => {
            let mut verb = tag.into_iter().fold(vault.import(artifact), |verb, tag| verb.tag(tag));
            if let Some(path) = from.artifact_key_file {
                verb = verb.artifact_passphrase(read_secret(&path)?);
            }
            if no_owner {
                verb = verb.no_owner();
            }
            if no_privileges {
                verb = verb.no_privileges();
            }
            if let Some(name) = from_database {
                verb = verb.from_database(name);
            }
            let report = verb.on_progress(on_progress).cancel(cancel).await;
            bar.clear();
            output.backup(&report?)
        }
        Command::Show { backup } => output.show(&vault.show(backup).cancel(cancel).await?),
        Command::Verify { backup, from } => {
            let mut verb = vault.verify(backup);
            if let Some(path) = from.artifact_key_file {
                verb = verb.artifact_passphrase(read_secret(&path)?);
            }
            let report = verb.on_progress(on_progress).cancel(cancel).await;
            bar.clear();
            output.verify(&report?)
        }
        Command::Drill { backup, target, query } => {
            let mut verb = query.into_iter().fold(vault.drill(backup), |verb, query| verb.query(query));
            if let Some(url) = target {
                verb = verb.target(url);
            }
            let report = verb.on_progress(on_progress).cancel(cancel).await;
            bar.clear();
            output.drill(&report?)
        }
        Command::Restore {
            backup,
            from,
            from_database,
            target,
            select,
            data_only,
            clean,
            map_schema,
            map_owner,
            map_tablespace,
            no_superuser,
            overwrite,
            no_owner,
            no_privileges,
            globals,
            promote,
            query,
        } => {
            let map = Mapping {
                schemas: map_schema.into_iter().collect(),
                owners: map_owner.into_iter().collect(),
                tablespaces: map_tablespace.into_iter().collect(),
            };
            let verb = vault.restore("").options(Restore {
                backup,
                target: Some(target.into()),
                overwrite,
                no_owner,
                no_privileges,
                select: Selection { data_only, ..select.selection() },
                map,
                clean,
                no_superuser,
                globals,
                promote,
                queries: query,
                artifact_passphrase: from.artifact_key_file.map(|path| read_secret(&path)).transpose()?,
                from_database,
            });
            let report = verb.on_progress(on_progress).cancel(cancel).await;
            bar.clear();
            output.restore(&report?)
        }
        Command::Export { backup, folder, format, to, plain, keep_compression } => {
            let mut verb = vault.export(backup).folder(folder);
            if format == FormatArg::Classic {
                verb = verb.format(ExportFormat::Classic);
            }
            if let Some(path) = to.artifact_key_file {
                verb = verb.artifact_passphrase(read_secret(&path)?);
            }
            if plain {
                verb = verb.plain();
            }
            if keep_compression {
                verb = verb.keep_compression();
            }
            let report = verb.on_progress(on_progress).cancel(cancel).await;
            bar.clear();
            output.export(&report?)
        }
        Command::Health { max_age_hours, health_json } => {
            let max_age_seconds = max_age_hours.saturating_mul(3600);
            let options = Health { max_age_seconds, health_json, ..Health::default() };
            output.health(&vault.health().options(options).cancel(cancel).await?)
        }
        Command::Metrics => Output::print(&vault.metrics().cancel(cancel).await?),
        Command::DatabaseStats => output.database_stats(&vault.database_stats().cancel(cancel).await?),
        Command::Doctor { .. } => Ok(()),
        Command::Prune { keep, dry_run, grace } => {
            let options = Prune { keep, dry_run, grace_seconds: grace };
            output.prune(&vault.prune().options(options).cancel(cancel).await?)
        }
        Command::Hold { backup, until, reason } => {
            let verb = until.into_iter().fold(vault.hold(backup), |verb, until| verb.until(until));
            output.hold(&verb.reason(reason).cancel(cancel).await?)
        }
        Command::Release { backup } => output.hold(&vault.release(backup).cancel(cancel).await?),
        Command::RunDue { plan, within } => {
            let verb = within.into_iter().fold(vault.run_due(), |verb, seconds| verb.within_seconds(seconds));
            let report = verb.plan(plan.plan()).on_progress(on_progress).cancel(cancel).await;
            bar.clear();
            let report = report?;
            output.run_due(&report)?;
            report.first_failure().map_or(Ok(()), Err)
        }
        Command::Schedule { plan } => {
            let handle = vault.schedule("").plan(plan.plan()).start()?;
            tokio::select! {
                () = follow(&handle, output) => {}
                () = cancel.cancelled() => {}
            }
            handle.stop().await;
            Ok(())
        }
        #[cfg(feature = "sqlite")]
        Command::SqliteTask => Ok(()),
        Command::Keys => output.keys(&vault.keys().cancel(cancel).await?),
        Command::RotateKey { new_key_file, to_recipient, new_epoch, allow_weak } => {
            let mut options = RotateKey { to_recipients: to_recipient, new_epoch, allow_weak, ..RotateKey::default() };
            if options.to_recipients.is_empty() {
                options.to_passphrase = match new_key_file {
                    Some(path) => Some(read_secret(&path)?),
                    None => new_key_of_env()?,
                };
            }
            output.rotate_key(&vault.rotate_key().options(options).cancel(cancel).await?)
        }
        Command::AddKey { new_key_file, to_recipient, slot, allow_weak } => {
            let passphrase = new_key_file.map(|path| read_secret(&path)).transpose()?;
            let options = AddKey { passphrase, recipients: to_recipient, name: slot, allow_weak, ..AddKey::default() };
            output.add_key(&vault.add_key().options(options).cancel(cancel).await?)
        }
        Command::RemoveKey { slot } => output.remove_key(&vault.remove_key(slot).cancel(cancel).await?),
        Command::Rewrap { all } => {
            let verb = if all { vault.rewrap().all() } else { vault.rewrap() };
            output.rewrap(&verb.cancel(cancel).await?)
        }
        Command::Reencrypt => {
            let report = vault.reencrypt().on_progress(on_progress).cancel(cancel).await;
            bar.clear();
            output.reencrypt(&report?)
        }
    }
}

/// Tells what a schedule does, until it has stopped.
async fn follow(handle: &ScheduleHandle, output: &Output) {
    let mut seen = ScheduleStatus::default();
    while let Some(now) = handle.changed(&seen).await {
        let told = match &now.last {
            Some(report) if now.last != seen.last => output.run_due(report),
            _ => Ok(()),
        };
        // Standard output may be gone; the schedule goes on.
        let _ = told;
        seen = now;
    }
}

/// What the arguments say of the vault.
fn vault_options(args: &Args) -> VaultOptions {
    let mut options = VaultOptions {
        database: args.database.as_ref().map(Secret::from),
        store: args.store.clone(),
        name: args.name.clone(),
        key_file: args.key_file.clone(),
        identity_file: args.identity_file.clone(),
        unencrypted: args.unencrypted,
        // A file or a URL needs no store; what does need one says so.
        without_store: matches!(args.command, Command::Verify { .. } | Command::Restore { .. }),
        ..VaultOptions::default()
    };
    if let Command::Backup { settings: given, allow_weak, .. } = &args.command {
        options.settings = given.apply(options.settings);
        options.allow_weak_passphrase = *allow_weak;
    }
    options.settings.jobs = args.jobs.unwrap_or(options.settings.jobs);
    options
}
