#![allow(clippy::unwrap_used, clippy::expect_used)]

use super::*;
use crate::error::ErrorKind;

const PASSPHRASE: &str = "gravel-onion-sixfold-tundra-maple-kiosk";

const SSH_PUBLIC: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIDAGDN8ujevJ2Y9IeeS8b9KotMAuUzFDWxAa0anNC/MJ";

/// Made with `ssh-keygen -t ed25519` for this test; it opens nothing else.
const SSH_PRIVATE: &str = "-----BEGIN OPENSSH PRIVATE KEY-----
b3BlbnNzaC1rZXktdjEAAAAABG5vbmUAAAAEbm9uZQAAAAAAAAABAAAAMwAAAAtzc2gtZW
QyNTUxOQAAACAwBgzfLo3rydmPSHnkvG/SqLTALlMxQ1sQGtGpzQvzCQAAAIgWfJXCFnyV
wgAAAAtzc2gtZWQyNTUxOQAAACAwBgzfLo3rydmPSHnkvG/SqLTALlMxQ1sQGtGpzQvzCQ
AAAEAD3+JjXax16RWuHanR/MzEvYhXYuM+VtGl3ZhMAFZfXDAGDN8ujevJ2Y9IeeS8b9Ko
tMAuUzFDWxAa0anNC/MJAAAABHRlc3QB
-----END OPENSSH PRIVATE KEY-----
";

/// Seals with a key of its own, as a cloud's key management would.
struct Vault(&'static str, u8);

impl KeyProvider for Vault {
    fn name(&self) -> &str {
        self.0
    }

    fn wrap(&self, identity_file: &[u8]) -> Result<Vec<u8>> {
        Ok(identity_file.iter().map(|b| b ^ self.1).collect())
    }

    fn unwrap(&self, sealed: &[u8]) -> Result<Vec<u8>> {
        self.wrap(sealed)
    }
}

fn passphrase(text: &str) -> Credential {
    Credential::Passphrase(text.into())
}

fn lock(text: &str) -> SlotKey {
    SlotKey::weak_passphrase(text.into()).unwrap().work_factor(2).unwrap()
}

fn same(a: &RepositoryKeys, b: &RepositoryKeys) -> bool {
    a.identity_file().expose() == b.identity_file().expose()
}

#[test]
fn a_slot_opens_with_what_it_was_locked_with_and_nothing_else() {
    let keys = RepositoryKeys::generate().next_epoch().unwrap();
    let mine = age::x25519::Identity::generate();
    let mine_text = age::secrecy::ExposeSecret::expose_secret(&mine.to_string()).to_owned();
    let provider: Arc<dyn KeyProvider> = Arc::new(Vault("hsm", 3));
    let pairs = [
        (lock(PASSPHRASE), passphrase(PASSPHRASE)),
        (
            SlotKey::recipients(mine.to_public().into()).unwrap(),
            Credential::Identities(Secret::new(format!("# mine\n{mine_text}\r\n"))),
        ),
        (
            SlotKey::recipients(Recipients::parse(SSH_PUBLIC).unwrap()).unwrap(),
            Credential::Identities(SSH_PRIVATE.into()),
        ),
        (
            SlotKey::recipients(RepositoryKeys::from_raw(&Key::new([5; 32])).unwrap().recipients()).unwrap(),
            Credential::Raw(Key::new([5; 32])),
        ),
        (SlotKey::provider(provider.clone()), Credential::Provider(provider)),
    ];
    let strangers = [
        passphrase("wrong"),
        Credential::Identities(RepositoryKeys::generate().identity_file()),
        Credential::Raw(Key::new([6; 32])),
        Credential::Provider(Arc::new(Vault("another", 3))),
    ];
    for (i, (lock, _)) in pairs.iter().enumerate() {
        let slot = seal_slot(&keys, lock).unwrap();
        for (j, credential) in pairs.iter().map(|(_, credential)| credential).chain(&strangers).enumerate() {
            match open_slot(&slot, credential) {
                Ok(opened) => assert!(i == j && same(&opened, &keys), "slot {i} by credential {j}"),
                Err(e) => assert!(i != j && e.code() == Code::WrongKey, "slot {i} by credential {j}: {e}"),
            }
        }
    }
}

#[test]
fn several_recipients_each_open_a_slot() {
    let keys = RepositoryKeys::generate();
    let (a, b) = (RepositoryKeys::generate(), RepositoryKeys::generate());
    let lock = SlotKey::recipients(a.recipients().and(&b.recipients())).unwrap();
    let slot = seal_slot(&keys, &lock).unwrap();
    for one in [a, b] {
        assert!(same(&open_slot(&slot, &Credential::Identities(one.identity_file())).unwrap(), &keys));
    }
    assert!(SlotKey::recipients(Recipients::default()).is_err());
}

#[test]
fn altered_and_cut_slots_and_key_files_are_refused() {
    let keys = RepositoryKeys::generate();
    let slot = seal_slot(&keys, &lock(PASSPHRASE)).unwrap();
    let wrapped = wrap_data_key(&Key::new([1; 32]), &keys.recipients()).unwrap();
    for at in 0..slot.len() {
        // One bit of each byte: every try stretches the passphrase.
        let mut bad = slot.clone();
        bad[at] ^= 1 << (at % 8);
        let e = open_slot(&bad, &passphrase(PASSPHRASE)).unwrap_err();
        assert!(matches!(e.code(), Code::Damaged | Code::WrongKey | Code::KeySlot), "byte {at}: {e}");
        let e = open_slot(&slot[..at], &passphrase(PASSPHRASE)).unwrap_err();
        assert_eq!(e.kind(), ErrorKind::Damaged, "cut at {at}: {e}");
    }
    for at in 0..wrapped.len() {
        for bit in 0..8 {
            let mut bad = wrapped.clone();
            bad[at] ^= 1 << bit;
            let e = keys.unwrap_data_key(&bad).unwrap_err();
            assert!(matches!(e.code(), Code::Damaged | Code::WrongKey), "byte {at} bit {bit}: {e}");
        }
        assert_eq!(keys.unwrap_data_key(&wrapped[..at]).unwrap_err().code(), Code::Damaged, "cut at {at}");
    }
    assert!(keys.unwrap_data_key(&[&wrapped[..], b"x"].concat()).is_err());
    assert_eq!(keys.unwrap_data_key(&vec![b'a'; 1 << 20]).unwrap_err().code(), Code::Damaged);
}

#[test]
fn a_slot_that_asks_for_too_much_work_is_refused_before_it_is_done() {
    let keys = RepositoryKeys::generate();
    let slot = seal_slot(&keys, &lock(PASSPHRASE)).unwrap();
    let line_end = slot.iter().enumerate().filter(|(_, b)| **b == b'\n').nth(1).unwrap().0;
    assert_eq!(&slot[line_end - 2..line_end], b" 2");
    for asked in ["19", "30", "63", "64", "255"] {
        let greedy = [&slot[..line_end - 1], asked.as_bytes(), &slot[line_end..]].concat();
        let e = open_slot(&greedy, &passphrase(PASSPHRASE)).unwrap_err();
        assert_eq!(e.code(), Code::KeySlot, "{asked}: {e}");
        assert!(e.message().contains(asked));
    }
    for wrong in [0, 19, 64, 255] {
        assert_eq!(lock(PASSPHRASE).work_factor(wrong).unwrap_err().code(), Code::InvalidOption);
    }
}

#[test]
fn unlock_tries_every_slot_the_newest_epoch_first() {
    let old = RepositoryKeys::generate();
    let new = old.next_epoch().unwrap();
    let slots = vec![
        ("keys/1-main.age".to_owned(), seal_slot(&old, &lock(PASSPHRASE)).unwrap()),
        ("keys/2-other.age".to_owned(), seal_slot(&new, &lock("another")).unwrap()),
        ("keys/2-main.age".to_owned(), seal_slot(&new, &lock(PASSPHRASE)).unwrap()),
    ];
    let (keys, name) = unlock(&slots, &passphrase(PASSPHRASE)).unwrap();
    assert!(same(&keys, &new) && name == "keys/2-main.age");

    let e = unlock(&slots, &passphrase("wrong")).unwrap_err();
    assert_eq!(e.code(), Code::WrongKey);
    assert!(slots.iter().all(|(name, _)| e.message().contains(name.as_str())) && !e.to_string().contains("wrong key"));

    // The identity itself, as `age -d` gives it, opens the store where no slot can be opened.
    let (keys, name) = unlock(&slots, &Credential::Identities(new.identity_file())).unwrap();
    assert!(same(&keys, &new) && name.is_empty());
    assert_eq!(unlock(&[], &passphrase(PASSPHRASE)).unwrap_err().code(), Code::KeySlot);
    let broken = [("keys/1-main.age".to_owned(), slots[0].1[..50].to_vec())];
    assert_eq!(unlock(&broken, &passphrase(PASSPHRASE)).unwrap_err().code(), Code::Damaged);
}

#[test]
fn a_raw_key_is_the_identity_unless_there_are_slots() {
    let raw = Credential::Raw(Key::new([5; 32]));
    let (keys, name) = unlock(&[], &raw).unwrap();
    assert!(name.is_empty() && same(&keys, &RepositoryKeys::from_raw(&Key::new([5; 32])).unwrap()));
    let slot = ("keys/1-main.age".to_owned(), seal_slot(&keys, &lock(PASSPHRASE)).unwrap());
    // After a rotation to a passphrase the raw key opens the store no more.
    assert_eq!(unlock(&[slot], &raw).unwrap_err().code(), Code::WrongKey);
}

#[test]
fn the_identity_of_a_raw_key_is_stable() {
    let keys = RepositoryKeys::from_raw(&Key::new([5; 32])).unwrap();
    assert_eq!(keys.recipients().to_string(), RAW_RECIPIENT);
    assert_eq!(keys.identity_file().expose().lines().last().unwrap(), RAW_IDENTITY);
}

/// Computed with Python's `cryptography`.
const RAW_RECIPIENT: &str = "age12snw0we79uh4qyjjh8tplvfjmsagd59d3lhvxykn8g799nj6j33qleu8xc";
const RAW_IDENTITY: &str = "AGE-SECRET-KEY-1K2DMKQYRZ6MHEY6X8A5ZYA90QF9XMMKG6ER866SEWN63MAQTTG6SL02CDF";

#[test]
fn data_keys_of_all_epochs_are_unwrapped_and_of_no_other_repository() {
    let first = RepositoryKeys::generate();
    let second = first.next_epoch().unwrap();
    let key = Key::random().unwrap();
    for wrapped_to in [&first, &second] {
        let wrapped = wrap_data_key(&key, &wrapped_to.recipients()).unwrap();
        assert_eq!(second.unwrap_data_key(&wrapped).unwrap().expose(), key.expose());
        assert_eq!(RepositoryKeys::generate().unwrap_data_key(&wrapped).unwrap_err().code(), Code::WrongKey);
    }
    let newer = wrap_data_key(&key, &second.recipients()).unwrap();
    assert_eq!(first.unwrap_data_key(&newer).unwrap_err().code(), Code::WrongKey);
    let nonsense = age_file::encrypt(&first.recipients().age(), b"no key").unwrap();
    assert_eq!(first.unwrap_data_key(&nonsense).unwrap_err().code(), Code::Damaged);
    assert!(wrap_data_key(&key, &Recipients::default()).is_err());
    assert!(second.key_id() != first.key_id() && first.key_id().len() == 16);
}

#[test]
fn identity_files_round_trip_and_others_are_refused_without_being_shown() {
    let keys = RepositoryKeys::generate().next_epoch().unwrap().next_epoch().unwrap();
    let file = keys.identity_file();
    let read = RepositoryKeys::from_identity_file(&file.expose().replace('\n', "\r\n")).unwrap();
    assert!(same(&read, &keys) && read.epoch() == 3 && read.recipients().to_string() == keys.recipients().to_string());

    let secret = file.expose().lines().last().unwrap();
    for bad in [
        String::new(),
        secret.to_owned(),
        format!("# epoch one\n{secret}"),
        format!("# epoch 1\n{secret}\n# epoch 2\n{secret}"),
        format!("# epoch 1\n{secret}\n{secret}"),
        format!("# epoch 1\n{}", &secret[..70]),
        format!("# epoch 99999999999\n{secret}"),
    ] {
        let e = RepositoryKeys::from_identity_file(&bad).unwrap_err();
        assert_eq!(e.code(), Code::Damaged, "{bad}");
        assert!(!format!("{e}{e:?}").contains("AGE-SECRET-KEY-1"));
    }
}

#[test]
fn identity_files_that_cannot_be_used_are_refused_without_being_shown() {
    let slot = seal_slot(&RepositoryKeys::generate(), &lock(PASSPHRASE)).unwrap();
    for (bad, says) in [
        ("", "no key"),
        ("AGE-PLUGIN-YUBIKEY-1QGRSYQY", "plugins"),
        ("AGE-SECRET-KEY-1QQQSYQCYQ5RQWZQFPG9SCRGW", "neither"),
        (ENCRYPTED_SSH, "passphrase"),
        ("-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n", "cannot be used"),
    ] {
        let e = open_slot(&slot, &Credential::Identities(bad.into())).unwrap_err();
        assert_eq!(e.code(), Code::InvalidOption);
        assert!(
            e.message().contains(says) && !format!("{e:?}").contains("QGRSYQ") && !format!("{e:?}").contains("QQQSYQ")
        );
    }
}

/// Made with `ssh-keygen -t ed25519 -N secret` for this test.
const ENCRYPTED_SSH: &str = "-----BEGIN OPENSSH PRIVATE KEY-----
b3BlbnNzaC1rZXktdjEAAAAACmFlczI1Ni1jdHIAAAAGYmNyeXB0AAAAGAAAABAKDOTNVY
dLNX2vy+y/UkQSAAAAEAAAAAEAAAAzAAAAC3NzaC1lZDI1NTE5AAAAIJ92MeMxLmg+viKu
EtfFhFYOx8LrPpaXiAnx+aF3OiADAAAAkLvTldjHHCJV3euzYXxQKXIiqi17K3tJd9puoM
ej98BlNZtuMLIde8NyYuFV/iRH9Q8/Z9AEWfYhiT+oOyJalqPN2hoXESnAiOpApRCj+Nd3
a2y9IZpZpODJXvHNn8eULJIfWwxTV2StX++oXRS49RCulNXM6fs9GK0RIw+mxp1BhF1r98
83XBnAtPrGVDm42g==
-----END OPENSSH PRIVATE KEY-----
";

#[test]
fn settings_are_passphrases_unless_they_are_raw_keys() {
    let bytes: [u8; 32] = std::array::from_fn(|i| u8::try_from(i * 8 + 3).unwrap());
    let base64 = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, bytes);
    for text in [
        hex::encode(bytes),
        hex::encode_upper(bytes),
        base64.clone(),
        base64.trim_end_matches('=').to_owned(),
        base64.replace('+', "-").replace('/', "_"),
    ] {
        match Credential::from_setting(&format!("raw:{text}")).unwrap() {
            Credential::Raw(key) => assert_eq!(key.expose(), &bytes, "{text}"),
            other => panic!("{text}: {other:?}"),
        }
        assert!(matches!(Credential::from_setting(&text).unwrap(), Credential::Passphrase(_)));
    }
    for text in ["raw:", "raw:abc", "raw:00", &format!("raw:{}00", hex::encode(bytes)), " raw:x", "RAW:x"] {
        assert!(matches!(Credential::from_setting(text).unwrap(), Credential::Passphrase(p) if p.expose() == text));
    }
    assert_eq!(Credential::from_setting("").unwrap_err().code(), Code::MissingSetting);
}

#[test]
fn weak_passphrases_need_insistence_and_untypable_ones_are_refused() {
    assert_eq!(SlotKey::passphrase("short".into()).unwrap_err().code(), Code::WeakPassphrase);
    assert!(SlotKey::passphrase(PASSPHRASE.into()).is_ok() && SlotKey::weak_passphrase("short".into()).is_ok());
    for bad in ["", "gravel-onion-sixfold-tundra-maple-kiosk\n", "a\tb"] {
        assert_eq!(SlotKey::weak_passphrase(bad.into()).unwrap_err().code(), Code::InvalidOption);
    }
}

#[test]
fn nothing_prints_a_secret() {
    let keys = RepositoryKeys::generate();
    let provider: Arc<dyn KeyProvider> = Arc::new(Vault("hsm", 3));
    let shown = format!(
        "{keys:?} {:?} {:?} {:?} {:?} {:?} {:?} {:?}",
        lock(PASSPHRASE),
        SlotKey::provider(provider.clone()),
        passphrase(PASSPHRASE),
        Credential::Raw(Key::new([77; 32])),
        Credential::Identities(keys.identity_file()),
        Credential::Provider(provider),
        super::super::auth::Verifier::new(Some(keys.clone()), Vec::new()),
    );
    for secret in [PASSPHRASE, "AGE-SECRET-KEY-1", "77, 77"] {
        assert!(!shown.contains(secret), "{shown}");
    }
}
