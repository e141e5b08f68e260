//! The watcher looks at files and only then takes over what it saw; meanwhile a reload may have named others.

use std::{fs, path::Path};

use rcgen::generate_simple_self_signed;
use tempfile::tempdir;

use super::*;

/// Writes a certificate that there has never been to the files of this name.
fn fresh(folder: &Path, name: &str) -> TlsSettings {
    let made = generate_simple_self_signed(["scoring.test".to_owned()]).unwrap();
    let [cert, key] = ["cert", "key"].map(|kind| folder.join(format!("{name}-{kind}.pem")));
    fs::write(&cert, made.cert.pem()).unwrap();
    fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    TlsSettings { cert: Some(cert), key: Some(key) }
}

fn shown(tls: &Tls) -> CertificateDer<'static> {
    tls.current.0.load().cert[0].clone()
}

#[test]
fn the_watcher_does_not_overwrite_a_reload_of_other_files() {
    let folder = tempdir().unwrap();
    let old = fresh(folder.path(), "old");
    let tls = Tls::from_settings(&old).unwrap().unwrap();
    fresh(folder.path(), "old");
    let seen = tls.look(&old).unwrap().unwrap();
    let new = fresh(folder.path(), "new");
    tls.replace(tls.look(&new).unwrap().unwrap());
    let in_use = shown(&tls);

    tls.renew(seen);
    assert_eq!(shown(&tls), in_use);
    assert!(tls.look(&new).unwrap().is_none(), "the new files are no news");
}

#[test]
fn the_watcher_applies_changed_files_that_are_still_configured() {
    let folder = tempdir().unwrap();
    let files = fresh(folder.path(), "any");
    let tls = Tls::from_settings(&files).unwrap().unwrap();
    let before = shown(&tls);
    fresh(folder.path(), "any");
    tls.renew(tls.look(&files).unwrap().unwrap());
    assert_ne!(shown(&tls), before);
    assert!(tls.look(&files).unwrap().is_none());
}
