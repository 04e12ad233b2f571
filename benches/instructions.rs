//! Runs a step of the hot path so many times, for `bench/instructions.py` to count its instructions.
//!
//! `instructions` names the steps; `instructions STEP COUNT OF` makes inputs for OF operations and runs COUNT.

mod work;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let [step, count, of] = &arguments[..] else {
        for (name, unit, _) in work::STEPS {
            println!("{name}\t{unit}");
        }
        return;
    };
    let number = |text: &str| text.parse::<usize>().expect("a number");
    work::step(step, number(of))(number(count));
}
