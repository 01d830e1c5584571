use crate::snapshot::load::Snapshot;
use find::Find;
use std::sync::atomic::{AtomicU64, Ordering};

/// What names a flag: its key, as any kind of string, or a [`FlagHandle`].
pub trait FlagKey: Find {}

impl<K: Find + ?Sized> FlagKey for K {}

/// Kept here, so that what names a flag stays for this crate to say.
mod find {
    use crate::snapshot::load::Snapshot;

    pub trait Find {
        fn key(&self) -> &str;
        fn find(&self, snapshot: &Snapshot) -> Option<u32>;
    }
}

impl<K: AsRef<str> + ?Sized> Find for K {
    fn key(&self) -> &str {
        self.as_ref()
    }

    #[inline]
    fn find(&self, snapshot: &Snapshot) -> Option<u32> {
        snapshot.find_flag(self.as_ref())
    }
}

/// A flag's key that remembers where the flag stands, for code that asks for it again and again: what an evaluation by key
/// takes to look the key up, it saves.
///
/// It stands wherever a key may stand and gives the same answers. It belongs to no snapshot: in another one it is looked up
/// once more.
///
/// ```
/// use flagstone::{Context, FlagHandle, Snapshot, Timestamp};
///
/// static USE_NEW_GATEWAY: FlagHandle = FlagHandle::new("use_new_gateway");
///
/// # let snapshot = Snapshot::from_payload(r#"{"schema": 1, "environment": "e", "audience": "server", "version": 1,
/// #   "created": "2026-11-21T12:00:00Z", "flags": {"use_new_gateway": {"type": "boolean",
/// #   "variants": {"on": true, "off": false}, "off": "off", "salt": "g-1", "default": "on"}}}"#)?;
/// let flags = snapshot.at(Timestamp::now());
/// for user in ["user-42", "user-43"] {
///     assert!(flags.boolean(&USE_NEW_GATEWAY, false, &Context::new(user)));
/// }
/// # Ok::<(), flagstone::SnapshotError>(())
/// ```
#[derive(Debug)]
pub struct FlagHandle {
    key: &'static str,
    /// The snapshot where the flag was found last, and the flag's number there in the lower bits.
    found: AtomicU64,
}

/// More than the largest snapshot has flags.
const NUMBER_BITS: u32 = 24;

impl FlagHandle {
    /// A handle for the flag of this key, which need not exist.
    pub const fn new(key: &'static str) -> Self {
        FlagHandle { key, found: AtomicU64::new(0) }
    }
}

impl Find for FlagHandle {
    fn key(&self) -> &str {
        self.key
    }

    #[inline]
    fn find(&self, snapshot: &Snapshot) -> Option<u32> {
        let (found, identity) = (self.found.load(Ordering::Relaxed), snapshot.tables.identity.0);
        if found >> NUMBER_BITS == identity {
            return Some(found as u32 & ((1 << NUMBER_BITS) - 1));
        }
        let number = snapshot.find_flag(self.key)?;
        self.found.store(identity << NUMBER_BITS | u64::from(number), Ordering::Relaxed);
        Some(number)
    }
}
