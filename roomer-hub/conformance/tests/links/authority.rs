//! A certificate authority for tests.

use std::fs;
use std::sync::atomic::{AtomicUsize, Ordering};

use rcgen::{
    BasicConstraints, Certificate, CertificateParams, DnType, IsCa, Issuer, KeyPair, date_time_ymd,
};

/// A folder with certificates, which is removed when this is dropped. The names of the files are
/// derived from the subjects.
pub(crate) struct Authority {
    folder: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Drop for Authority {
    fn drop(&mut self) {
        _ = fs::remove_dir_all(&self.folder);
    }
}

impl Authority {
    pub(crate) fn new() -> Authority {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let (folder, name) = (env!("CARGO_TARGET_TMPDIR"), env!("CARGO_CRATE_NAME"));
        let folder = format!("{folder}/{name}-{}-{number}", std::process::id());
        fs::create_dir_all(&folder).unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, format!("authority {number}"));
        let key = KeyPair::generate().unwrap();
        fs::write(format!("{folder}/ca.pem"), params.self_signed(&key).unwrap().pem()).unwrap();
        Authority { folder, issuer: Issuer::new(params, key) }
    }

    pub(crate) fn file(&self, name: &str) -> String {
        format!("{}/{name}.pem", self.folder)
    }

    /// Writes a certificate for a host name or IP address, which expires in `year`, and its key.
    pub(crate) fn certify(&self, name: &str, host: &str, year: i32) {
        let mut params = CertificateParams::new([host.to_owned()]).unwrap();
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(year, 1, 1);
        let key = KeyPair::generate().unwrap();
        let cert: Certificate = params.signed_by(&key, &self.issuer).unwrap();
        fs::write(self.file(name), cert.pem()).unwrap();
        fs::write(self.file(&format!("{name}-key")), key.serialize_pem()).unwrap();
    }
}
