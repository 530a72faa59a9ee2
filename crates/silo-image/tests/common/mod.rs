//! What the tests of this crate share: archives made by another implementation, and folders that vanish.
#![allow(dead_code)]

use std::{
    fs::File,
    os::fd::OwnedFd,
    path::{Path, PathBuf},
};

use silo_image::ImageStore;

/// A store of its own in a folder that goes with it.
pub struct Place {
    pub folder: tempfile::TempDir,
    pub store: ImageStore,
}

pub fn place() -> Place {
    let prefix = format!("silo-test-{}-", std::process::id());
    let folder = tempfile::Builder::new().prefix(&prefix).tempdir().unwrap();
    let store = ImageStore::open(&folder.path().join("root")).unwrap();
    Place { folder, store }
}

impl Place {
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn open(&self, name: &str) -> OwnedFd {
        std::fs::create_dir_all(self.path(name)).unwrap();
        File::open(self.path(name)).unwrap().into()
    }
}

/// One entry of an archive to make.
#[derive(Clone, Debug)]
pub struct Item {
    pub path: Vec<u8>,
    pub kind: u8,
    pub link: Vec<u8>,
    pub mode: u32,
    pub data: Vec<u8>,
    pub xattrs: Vec<(String, Vec<u8>)>,
}

pub fn item(kind: u8, path: &str) -> Item {
    Item {
        path: path.as_bytes().to_vec(),
        kind,
        link: Vec::new(),
        mode: if kind == b'5' { 0o755 } else { 0o644 },
        data: Vec::new(),
        xattrs: Vec::new(),
    }
}

pub fn file(path: &str, data: &str) -> Item {
    Item {
        data: data.as_bytes().to_vec(),
        ..item(b'0', path)
    }
}

pub fn link(kind: u8, path: &str, target: &str) -> Item {
    Item {
        link: target.as_bytes().to_vec(),
        ..item(kind, path)
    }
}

impl Item {
    pub fn mode(self, mode: u32) -> Item {
        Item { mode, ..self }
    }

    pub fn xattr(mut self, name: &str, value: &[u8]) -> Item {
        self.xattrs.push((name.to_owned(), value.to_vec()));
        self
    }
}

/// An archive with exactly these entries, however hostile.
pub fn tar_of(items: &[Item]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for item in items {
        if !item.xattrs.is_empty() {
            let named = item
                .xattrs
                .iter()
                .map(|(n, v)| (format!("SCHILY.xattr.{n}"), v));
            let named: Vec<_> = named.collect();
            builder
                .append_pax_extensions(named.iter().map(|(n, v)| (&n[..], &v[..])))
                .unwrap();
        }
        let mut header = tar::Header::new_ustar();
        let raw = header.as_old_mut();
        let n = item.path.len().min(100);
        raw.name[..n].copy_from_slice(&item.path[..n]);
        let n = item.link.len().min(100);
        raw.linkname[..n].copy_from_slice(&item.link[..n]);
        raw.linkflag = [item.kind];
        header.set_mode(item.mode);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(1_700_000_000);
        header.set_size(item.data.len() as u64);
        if matches!(item.kind, b'3' | b'4') {
            header.set_device_major(1).unwrap();
            header.set_device_minor(3).unwrap();
        }
        header.set_cksum();
        builder.append(&header, &item.data[..]).unwrap();
    }
    builder.into_inner().unwrap()
}

pub fn names(path: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(path).unwrap();
    let mut names: Vec<_> = entries
        .map(|e| e.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}
