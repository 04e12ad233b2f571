//! Runs a step of the hot path so many times, for `bench/instructions.py` to count its instructions.
//!
//! `instructions` names the steps; `instructions STEP COUNT` makes inputs for so many operations and runs them.

mod work;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let [step, count] = &arguments[..] else {
        for (name, unit, _) in work::STEPS {
            println!("{name}\t{unit}");
        }
        return;
    };
    let count = count.parse().expect("a number");
    counted(work::step(step, count), count);
}

/// What is counted begins and ends here: the script names this function.
#[inline(never)]
fn counted(mut work: work::Work, count: usize) {
    work(count);
    // What is dropped is not the work's.
    std::mem::forget(work);
}
