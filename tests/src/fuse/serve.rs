//! What the kernel asks, answered from the image. Nothing is kept in the kernel's memory: each read and each write of a
//! process comes here at once.

use std::ffi::OsStr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, UNIX_EPOCH};

use fuser::{
    AccessFlags, BsdFileFlags, Errno, FileAttr, FileHandle, FileType, Filesystem, FopenFlags, Generation, INodeNo,
    LockOwner, OpenFlags, RenameFlags, ReplyAttr, ReplyCreate, ReplyData, ReplyDirectory, ReplyEmpty, ReplyEntry,
    ReplyOpen, ReplyStatfs, ReplyWrite, Request, TimeOrNow, WriteFlags,
};

use super::image::{Contents, Image, Kind, ROOT};
use super::{Fault, State};

/// The kernel remembers nothing.
const NOT_AT_ALL: Duration = Duration::ZERO;

/// Between two looks at whether the disk still hangs.
const LOOK: Duration = Duration::from_millis(5);

/// The disk, as the kernel's thread holds it.
pub(super) struct Served(pub(super) Arc<Mutex<State>>);

impl Served {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().expect("nobody panics with it")
    }

    /// The image, if the disk is alive. While it hangs, this and all that is asked later waits.
    fn image(&self) -> Result<MutexGuard<'_, State>, Errno> {
        let mut was_told = false;
        loop {
            let mut state = self.state();
            if state.is_dead {
                return Err(Errno::EIO);
            }
            if !state.is_hanging {
                return Ok(state);
            }
            state.was_hanging += u64::from(!std::mem::replace(&mut was_told, true));
            drop(state);
            std::thread::sleep(LOOK);
        }
    }

    fn make(&self, parent: u64, name: &OsStr, mode: u32, is_folder: bool) -> Result<FileAttr, Errno> {
        let mut state = self.image()?;
        if state.image.folder(parent).ok_or(Errno::ENOTDIR)?.find(name).is_some() {
            return Err(Errno::EEXIST);
        }
        // A name takes room too.
        state.take_room(1)?;
        let mode = u16::try_from(mode & 0o7777).unwrap_or(0o600);
        let node = state.image.make(mode, is_folder);
        state.image.folder_mut(parent).ok_or(Errno::ENOTDIR)?.change(|names| {
            names.insert(name.into(), node);
        });
        attributes(&state.image, node)
    }

    fn remove(&self, parent: u64, name: &OsStr, is_folder: bool) -> Result<(), Errno> {
        let mut state = self.image()?;
        let folder = state.image.folder(parent).ok_or(Errno::ENOTDIR)?;
        let node = folder.find(name).ok_or(Errno::ENOENT)?;
        if is_folder && state.image.folder(node).is_some_and(|folder| !folder.now().is_empty()) {
            return Err(Errno::ENOTEMPTY);
        }
        state.image.folder_mut(parent).ok_or(Errno::ENOTDIR)?.change(|names| {
            names.remove(name);
        });
        Ok(())
    }

    fn move_name(&self, parent: u64, name: &OsStr, to: u64, new: &OsStr) -> Result<(), Errno> {
        let mut state = self.image()?;
        if parent != to {
            // Two folders would have to change at once.
            return Err(Errno::EXDEV);
        }
        if state.fails(Fault::Rename) {
            return Err(Errno::EIO);
        }
        let folder = state.image.folder_mut(parent).ok_or(Errno::ENOTDIR)?;
        let node = folder.find(name).ok_or(Errno::ENOENT)?;
        folder.change(|names| {
            names.remove(name);
            names.insert(new.into(), node);
        });
        Ok(())
    }

    fn add_name(&self, node: u64, parent: u64, name: &OsStr) -> Result<FileAttr, Errno> {
        let mut state = self.image()?;
        if state.fails(Fault::Rename) {
            return Err(Errno::EIO);
        }
        let folder = state.image.folder_mut(parent).ok_or(Errno::ENOTDIR)?;
        if folder.find(name).is_some() {
            return Err(Errno::EEXIST);
        }
        folder.change(|names| {
            names.insert(name.into(), node);
        });
        attributes(&state.image, node)
    }

    fn set(&self, node: u64, mode: Option<u32>, size: Option<u64>) -> Result<FileAttr, Errno> {
        let mut state = self.image()?;
        if let Some(mode) = mode {
            let about = state.image.node_mut(node).ok_or(Errno::ENOENT)?;
            about.mode = u16::try_from(mode & 0o7777).unwrap_or(about.mode);
        }
        if let Some(size) = size {
            let size = usize::try_from(size).map_err(|_| Errno::EINVAL)?;
            state.image.file_mut(node).ok_or(Errno::EISDIR)?.set_length(size);
        }
        attributes(&state.image, node)
    }

    fn grow(&self, mut state: MutexGuard<'_, State>, node: u64, size: usize) -> Result<(), Errno> {
        let wants = state.image.file_mut(node).ok_or(Errno::EISDIR)?.wants(size);
        state.take_room(wants)?;
        let contents = state.image.file_mut(node).ok_or(Errno::EISDIR)?;
        if size > contents.bytes.len() {
            contents.set_length(size);
        }
        contents.allocate(size);
        Ok(())
    }

    fn write_file(&self, node: u64, at: u64, bytes: &[u8]) -> Result<u32, Errno> {
        let mut state = self.image()?;
        let at = usize::try_from(at).map_err(|_| Errno::EINVAL)?;
        let wants = state.image.file_mut(node).ok_or(Errno::EISDIR)?.wants(at + bytes.len());
        state.take_room(wants)?;
        if state.fails(Fault::Write) {
            // Some of it may have arrived.
            let part = state.chance.index(bytes.len() + 1);
            state.image.file_mut(node).ok_or(Errno::EISDIR)?.write(at, &bytes[..part]);
            return Err(Errno::EIO);
        }
        state.image.file_mut(node).ok_or(Errno::EISDIR)?.write(at, bytes);
        u32::try_from(bytes.len()).map_err(|_| Errno::EINVAL)
    }

    fn sync_file(&self, node: u64) -> Result<(), Errno> {
        let mut state = self.image()?;
        let is_failing = state.fails(Fault::Sync);
        let contents = state.image.file_mut(node).ok_or(Errno::EISDIR)?;
        if is_failing {
            contents.fail_to_sync();
            return Err(Errno::EIO);
        }
        contents.sync();
        Ok(())
    }

    fn sync_folder(&self, node: u64) -> Result<(), Errno> {
        let mut state = self.image()?;
        if state.fails(Fault::Sync) {
            return Err(Errno::EIO);
        }
        state.image.folder_mut(node).ok_or(Errno::ENOTDIR)?.sync();
        state.image.drop_unreachable();
        Ok(())
    }

    fn opened(&self, node: u64, cut: bool) -> Result<(), Errno> {
        if cut {
            self.set(node, None, Some(0))?;
        }
        self.image()?.image.node_mut(node).ok_or(Errno::ENOENT)?.open += 1;
        Ok(())
    }
}

fn attributes(image: &Image, node: u64) -> Result<FileAttr, Errno> {
    let about = image.node(node).ok_or(Errno::ENOENT)?;
    let (kind, size, blocks) = match &about.kind {
        Kind::File(contents) => (FileType::RegularFile, contents.bytes.len(), Contents::allocated(contents) / 512),
        Kind::Folder(_) => (FileType::Directory, 0, 0),
    };
    let links = if matches!(kind, FileType::Directory) { 2 } else { image.links(node) };
    Ok(FileAttr {
        ino: INodeNo(node),
        size: size as u64,
        blocks: blocks as u64,
        atime: UNIX_EPOCH,
        mtime: UNIX_EPOCH,
        ctime: UNIX_EPOCH,
        crtime: UNIX_EPOCH,
        kind,
        perm: about.mode,
        nlink: u32::try_from(links).unwrap_or(u32::MAX),
        uid: 0,
        gid: 0,
        rdev: 0,
        blksize: 4096,
        flags: 0,
    })
}

fn entry(reply: ReplyEntry, result: Result<FileAttr, Errno>) {
    match result {
        Ok(about) => reply.entry(&NOT_AT_ALL, &about, Generation(0)),
        Err(error) => reply.error(error),
    }
}

fn attr(reply: ReplyAttr, result: Result<FileAttr, Errno>) {
    match result {
        Ok(about) => reply.attr(&NOT_AT_ALL, &about),
        Err(error) => reply.error(error),
    }
}

fn empty(reply: ReplyEmpty, result: Result<(), Errno>) {
    match result {
        Ok(()) => reply.ok(),
        Err(error) => reply.error(error),
    }
}

impl Filesystem for Served {
    fn lookup(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        let found = self.image().and_then(|state| {
            let folder = state.image.folder(parent.0).ok_or(Errno::ENOTDIR)?;
            attributes(&state.image, folder.find(name).ok_or(Errno::ENOENT)?)
        });
        entry(reply, found);
    }

    fn getattr(&self, _: &Request, node: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        attr(reply, self.image().and_then(|state| attributes(&state.image, node.0)));
    }

    fn setattr(
        &self,
        _: &Request,
        node: INodeNo,
        mode: Option<u32>,
        _: Option<u32>,
        _: Option<u32>,
        size: Option<u64>,
        _: Option<TimeOrNow>,
        _: Option<TimeOrNow>,
        _: Option<std::time::SystemTime>,
        _: Option<FileHandle>,
        _: Option<std::time::SystemTime>,
        _: Option<std::time::SystemTime>,
        _: Option<std::time::SystemTime>,
        _: Option<BsdFileFlags>,
        reply: ReplyAttr,
    ) {
        attr(reply, self.set(node.0, mode, size));
    }

    fn mkdir(&self, _: &Request, parent: INodeNo, name: &OsStr, mode: u32, umask: u32, reply: ReplyEntry) {
        entry(reply, self.make(parent.0, name, mode & !umask, true));
    }

    fn unlink(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        empty(reply, self.remove(parent.0, name, false));
    }

    fn rmdir(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        empty(reply, self.remove(parent.0, name, true));
    }

    fn rename(
        &self,
        _: &Request,
        parent: INodeNo,
        name: &OsStr,
        to: INodeNo,
        new: &OsStr,
        _: RenameFlags,
        reply: ReplyEmpty,
    ) {
        empty(reply, self.move_name(parent.0, name, to.0, new));
    }

    fn link(&self, _: &Request, node: INodeNo, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        entry(reply, self.add_name(node.0, parent.0, name));
    }

    fn open(&self, _: &Request, node: INodeNo, flags: OpenFlags, reply: ReplyOpen) {
        let truncates = i32::try_from(rustix::fs::OFlags::TRUNC.bits()).unwrap_or(0);
        match self.opened(node.0, flags.0 & truncates != 0) {
            Ok(()) => reply.opened(FileHandle(node.0), FopenFlags::FOPEN_DIRECT_IO),
            Err(error) => reply.error(error),
        }
    }

    fn create(&self, _: &Request, parent: INodeNo, name: &OsStr, mode: u32, umask: u32, _: i32, reply: ReplyCreate) {
        let made = self.make(parent.0, name, mode & !umask, false);
        match made.and_then(|about| self.opened(about.ino.0, false).map(|()| about)) {
            Ok(about) => {
                let handle = FileHandle(about.ino.0);
                reply.created(&NOT_AT_ALL, &about, Generation(0), handle, FopenFlags::FOPEN_DIRECT_IO);
            }
            Err(error) => reply.error(error),
        }
    }

    fn read(
        &self,
        _: &Request,
        node: INodeNo,
        _: FileHandle,
        offset: u64,
        size: u32,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyData,
    ) {
        match self.image() {
            Ok(mut state) => match state.image.file_mut(node.0) {
                Some(contents) => {
                    let at = usize::try_from(offset).unwrap_or(usize::MAX);
                    let there = contents.bytes.get(at..).unwrap_or_default();
                    reply.data(&there[..there.len().min(size as usize)]);
                }
                None => reply.error(Errno::EISDIR),
            },
            Err(error) => reply.error(error),
        }
    }

    fn write(
        &self,
        _: &Request,
        node: INodeNo,
        _: FileHandle,
        offset: u64,
        bytes: &[u8],
        _: WriteFlags,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        match self.write_file(node.0, offset, bytes) {
            Ok(length) => reply.written(length),
            Err(error) => reply.error(error),
        }
    }

    fn flush(&self, _: &Request, _: INodeNo, _: FileHandle, _: LockOwner, reply: ReplyEmpty) {
        reply.ok();
    }

    fn release(
        &self,
        _: &Request,
        node: INodeNo,
        _: FileHandle,
        _: OpenFlags,
        _: Option<LockOwner>,
        _: bool,
        reply: ReplyEmpty,
    ) {
        let mut state = self.state();
        if let Some(node) = state.image.node_mut(node.0) {
            node.open = node.open.saturating_sub(1);
        }
        reply.ok();
    }

    fn fsync(&self, _: &Request, node: INodeNo, _: FileHandle, _: bool, reply: ReplyEmpty) {
        empty(reply, self.sync_file(node.0));
    }

    fn fsyncdir(&self, _: &Request, node: INodeNo, _: FileHandle, _: bool, reply: ReplyEmpty) {
        empty(reply, self.sync_folder(node.0));
    }

    fn fallocate(
        &self,
        _: &Request,
        node: INodeNo,
        _: FileHandle,
        offset: u64,
        length: u64,
        mode: i32,
        reply: ReplyEmpty,
    ) {
        if mode != 0 {
            return reply.error(Errno::EOPNOTSUPP);
        }
        let size = usize::try_from(offset.saturating_add(length)).map_err(|_| Errno::EINVAL);
        empty(reply, size.and_then(|size| self.image().and_then(|state| self.grow(state, node.0, size))));
    }

    fn readdir(&self, _: &Request, node: INodeNo, _: FileHandle, offset: u64, mut reply: ReplyDirectory) {
        let state = match self.image() {
            Ok(state) => state,
            Err(error) => return reply.error(error),
        };
        let Some(folder) = state.image.folder(node.0) else { return reply.error(Errno::ENOTDIR) };
        let mut entries = vec![(node.0, OsStr::new(".")), (ROOT, OsStr::new(".."))];
        entries.extend(folder.now().iter().map(|(name, node)| (*node, name.as_os_str())));
        for (at, (node, name)) in entries.into_iter().enumerate().skip(usize::try_from(offset).unwrap_or(usize::MAX)) {
            let is_folder = state.image.folder(node).is_some();
            let kind = if is_folder { FileType::Directory } else { FileType::RegularFile };
            if reply.add(INodeNo(node), at as u64 + 1, kind, name) {
                break;
            }
        }
        reply.ok();
    }

    fn statfs(&self, _: &Request, _: INodeNo, reply: ReplyStatfs) {
        let blocks = 1 << 30;
        let free = if self.state().is_full { 0 } else { blocks / 2 };
        reply.statfs(blocks, free, free, 1 << 20, 1 << 20, 4096, 255, 4096);
    }

    fn access(&self, _: &Request, _: INodeNo, _: AccessFlags, reply: ReplyEmpty) {
        reply.ok();
    }
}
