//! Maps whose order is the same in every process. It still must not be let out.

use xxhash_rust::xxh3::Xxh3DefaultBuilder;

pub(crate) type Map<K, V> = hashbrown::HashMap<K, V, Xxh3DefaultBuilder>;
pub(crate) type Set<K> = hashbrown::HashSet<K, Xxh3DefaultBuilder>;
