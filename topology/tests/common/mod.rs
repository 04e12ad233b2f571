//! What several test programs need to restart a topology.

use saccade_topology::*;

/// Ids of the generation before the one at `mark`, and of that one.
pub fn generations_of<'a>(
    mark: (u64, u64),
    parts: impl IntoIterator<Item = (u64, u64, &'a [u64])>,
) -> (Vec<u64>, Vec<u64>) {
    let (mut previous, mut current) = (vec![], vec![]);
    for (generation, _, ids) in parts {
        if generation == mark.0 { current.extend_from_slice(ids) } else { previous.extend_from_slice(ids) }
    }
    (previous, current)
}

/// The remembered ids of the generation before, and of this one, as a checkpoint holds them.
pub fn generations(topology: &Topology) -> (Vec<u64>, Vec<u64>) {
    generations_of(topology.globals(Offset(0)).ids, topology.ids_since((0, 0)))
}
