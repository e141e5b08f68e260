//! The slots of a Redis cluster: each key belongs to one of 16,384, and each slot to one primary.

use super::url::HostAndPort;

/// The number of slots of every cluster.
pub const SLOTS: u16 = 16_384;

/// No primary owns the slot.
const UNOWNED: u16 = u16::MAX;

/// The table of CRC-16/XMODEM, one entry for each byte.
static CRC: [u16; 256] = crc_table();

/// The primaries of a cluster, and the slots of each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SlotMap {
    /// In the order of their addresses.
    primaries: Vec<HostAndPort>,
    /// For each slot the index of its primary, or [`UNOWNED`].
    owners: Vec<u16>,
}

/// The slot of `key`. If it contains `{…}`, only the text between the first braces counts.
pub fn slot_of(key: &str) -> u16 {
    let tag = key
        .split_once('{')
        .and_then(|(_, rest)| rest.split_once('}'))
        .map(|(tag, _)| tag)
        .filter(|tag| !tag.is_empty());
    tag.unwrap_or(key).bytes().fold(0, |crc: u16, byte| {
        let index = usize::from((crc >> 8) as u8 ^ byte);
        crc << 8 ^ CRC.get(index).copied().unwrap_or(0)
    }) % SLOTS
}

#[expect(clippy::indexing_slicing, reason = "at compile time")]
const fn crc_table() -> [u16; 256] {
    let mut table = [0; 256];
    let mut index = 0_u16;
    while index < 256 {
        let (mut crc, mut bit) = (index << 8, 0);
        while bit < 8 {
            crc = if crc & 0x8000 == 0 { crc << 1 } else { crc << 1 ^ 0x1021 };
            bit += 1;
        }
        table[index as usize] = crc;
        index += 1;
    }
    table
}

// ===== impl SlotMap =====

impl SlotMap {
    /// The map in which `owner` returns the primary of each slot.
    pub fn of<'a>(owner: impl Fn(u16) -> Option<&'a HostAndPort>) -> Self {
        let mut found: Vec<&HostAndPort> = Vec::new();
        for owner in (0..SLOTS).filter_map(&owner) {
            // Slots come in long runs.
            if found.last() != Some(&owner) {
                found.push(owner);
            }
        }
        found.sort();
        found.dedup();
        let mut last = (None, UNOWNED);
        let owners = (0..SLOTS).map(|slot| {
            let owner = owner(slot);
            if owner != last.0 {
                let index = owner.and_then(|owner| found.binary_search(&owner).ok());
                last = (owner, index.and_then(|index| u16::try_from(index).ok()).unwrap_or(UNOWNED));
            }
            last.1
        });
        let owners = owners.collect();
        let primaries = found.into_iter().cloned().collect();
        Self { primaries, owners }
    }

    /// The primary of `slot`; `None` if it has none.
    pub fn owner(&self, slot: u16) -> Option<&HostAndPort> {
        self.primaries.get(self.owner_index(slot)?)
    }

    /// The index of that primary in [`primaries`](Self::primaries).
    pub fn owner_index(&self, slot: u16) -> Option<usize> {
        self.owners.get(usize::from(slot)).filter(|index| **index != UNOWNED).map(|index| usize::from(*index))
    }

    /// All primaries that own a slot, in the order of their addresses.
    pub fn primaries(&self) -> &[HostAndPort] {
        &self.primaries
    }

    /// The number of slots of one primary.
    pub fn slots_of(&self, place: &HostAndPort) -> usize {
        (0..SLOTS).filter(|&slot| self.owner(slot) == Some(place)).count()
    }

    /// The number of slots without a primary.
    pub fn unowned(&self) -> usize {
        self.owners.iter().filter(|owner| **owner == UNOWNED).count()
    }

    /// The number of slots that have another primary in `other`.
    pub fn differences(&self, other: &Self) -> usize {
        (0..SLOTS).filter(|&slot| self.owner(slot) != other.owner(slot)).count()
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    /// As `CLUSTER KEYSLOT` of Redis 7.0 answers.
    #[rstest]
    #[case("", 0)]
    #[case("123456789", 12739)]
    #[case("i:1", 2518)]
    #[case("i:{1}", 9842)]
    #[case("{}i:1", 860)]
    #[case("a{b}{c}", 3300)]
    #[case("a{b", 13_340)]
    #[case("uid:7c2ae0b4", 9585)]
    fn a_key_has_the_slot_that_the_server_says(#[case] key: &str, #[case] slot: u16) {
        assert_eq!(slot_of(key), slot);
    }

    fn place(port: u16) -> HostAndPort {
        HostAndPort { host: "10.0.0.1".to_owned(), port }
    }

    #[test]
    fn a_map_knows_the_primary_of_each_slot() {
        let (one, two) = (place(7002), place(7001));
        let owner = |slot| match slot {
            0..100 => Some(&one),
            100..16_000 => Some(&two),
            _ => None,
        };
        let map = SlotMap::of(owner);
        assert_eq!(map.primaries(), [two.clone(), one.clone()]);
        assert_eq!((map.owner(99), map.owner(100), map.owner(16_000)), (Some(&one), Some(&two), None));
        assert_eq!(map.unowned(), 384);
        let other = SlotMap::of(|slot| if slot == 99 { Some(&two) } else { owner(slot) });
        assert_eq!((map.differences(&other), map.differences(&map)), (1, 0));
    }
}
