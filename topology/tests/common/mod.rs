//! What several test programs need to restart a topology.

use saccade_topology::*;

/// The remembered ids of the generation before, and of this one, as a checkpoint holds them.
pub fn generations(topology: &Topology) -> (Vec<u64>, Vec<u64>) {
    let number = topology.globals(Offset(0)).ids.0;
    let (mut previous, mut current) = (vec![], vec![]);
    for (generation, _, ids) in topology.ids_since((0, 0)) {
        if generation == number { current.extend_from_slice(ids) } else { previous.extend_from_slice(ids) }
    }
    (previous, current)
}
