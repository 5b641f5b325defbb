//! What a host says that is believed for its own backups, and for nothing else.

use std::time::Duration;

use object_store::path::Path;
use object_store::{ObjectStoreExt, PutPayload};
use tokio::time::sleep;

use super::super::prune::World;
use super::OLD;
use crate::crypto::auth::{Authenticator, SigningKey};
use crate::format::manifest::Stored;
use crate::{Code, Keep, PruneAction};

/// Writes the manifest anew, with a claim and a signature that is good.
async fn claim_to_replace(world: &World, name: &str, replaced: &str, key: SigningKey) {
    let told = world.store.text(name).await;
    let (header, rest) = told.split_once("},\"body\":").unwrap();
    let (body, auth) = rest.rsplit_once(",\"auth\":").unwrap();
    let header = format!("{header},\"replaces\":\"{replaced}\"}}");
    let unsigned = Stored::decode(format!("{header},\"body\":{body},\"auth\":{auth}").as_bytes()).unwrap();
    let auth = Authenticator::of_signing_key(key).sign(&unsigned.signed()).unwrap();
    let auth = serde_json::to_string(&auth).unwrap();
    let forged = format!("{header},\"body\":{body},\"auth\":{auth}}}\n");
    world.store.put(&Path::from(name), PutPayload::from(forged)).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_signer_who_says_that_his_backup_replaces_another_makes_none_go_and_stands_in_for_none() {
    let world = World::new().await;
    let victim = world.vault.backup().await.unwrap().id;
    let key = SigningKey::generate().unwrap();
    let recipients = world.vault.recipients().await.unwrap();
    let signing = SigningKey::parse(&key.to_secret().unwrap()).unwrap();
    let host = world.with(|b| b.recipients([recipients]).signing_key(signing)).await.unwrap();
    // Of the same second, so that its id begins with the other one's.
    let his = host.backup().await.unwrap().id;
    assert!(his.as_str().starts_with(victim.as_str()) && his != victim, "{his}");
    let signer = key.signer();
    claim_to_replace(&world, &format!("home/{his}/manifest.json"), victim.as_str(), key).await;

    let owner = world.with(|b| b.passphrase(OLD).trust_signer(signer)).await.unwrap();
    let plan = owner.prune().keep(Keep::last(2)).await.unwrap();
    assert!(plan.decisions.iter().all(|d| d.action == PruneAction::Keep), "{:?}", plan.decisions);
    sleep(Duration::from_secs(1)).await;
    for name in world.store.names().await.iter().filter(|name| name.contains(&format!("{victim}/"))) {
        world.store.delete(&Path::from(name.as_str())).await.unwrap();
    }
    assert_eq!(owner.show(&victim).await.unwrap_err().code(), Code::BackupNotFound);
}
