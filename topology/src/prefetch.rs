//! Asking for memory before it is needed.

/// Bytes of memory that come together.
const LINE: usize = 64;

/// Asks for the memory of `value`. Unlike a load it is never waited for: what follows goes on at once, and later finds it near.
#[inline(always)]
pub fn prefetch<T: ?Sized>(value: &T) {
    let begin = std::ptr::from_ref(value).cast::<u8>();
    let before = begin.addr() % LINE;
    let line = begin.wrapping_sub(before);
    for at in (0..before + size_of_val(value)).step_by(LINE) {
        branches::prefetch_read_data::<u8, 0>(line.wrapping_add(at));
    }
}
