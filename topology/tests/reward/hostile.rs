//! No expression, value or order of calls panics, overflows the stack or runs long.

use crate::driver::*;
use proptest::prelude::*;
use saccade_topology::reward::*;
use saccade_topology::*;

const SIGNALS: [&str; 2] = ["a = { fold = \"last\", field = \"value\" }", "b = { fold = \"count\" }"];

/// Compiles and drops it on a small stack.
fn on_a_small_stack(expression: String) -> Result<(), RewardError> {
    let work = move || Reward::compile(&spec(&expression, &SIGNALS)).map(|_| ());
    let thread = std::thread::Builder::new().stack_size(1 << 20).spawn(work).expect("a thread");
    thread.join().expect("neither panics nor overflows")
}

#[test]
fn nesting_is_bounded_however_it_is_written() {
    let around = |n: usize, open: &str, close: &str| format!("{}a{}", open.repeat(n), close.repeat(n));
    for (open, close) in
        [("(", ")"), ("[", "][0]"), ("-(", ")"), ("!(", ")"), ("abs(", ")"), ("{1: ", "}"), ("a+(", ")")]
    {
        let error = on_a_small_stack(around(65, open, close)).unwrap_err();
        assert!(error.found.contains("nested too deep at line 1, column "), "{open}: {error}");
        on_a_small_stack(around(1000, open, "")).unwrap_err();
        on_a_small_stack(around(800, open, close)).unwrap_err();
    }
    on_a_small_stack(around(64, "(", ")")).unwrap();
    on_a_small_stack(around(60, "-(", ")")).unwrap();
    on_a_small_stack(around(15, "[1].map(x, ", ")") + ".size()").unwrap();
    on_a_small_stack(around(30, "[1].all(x, a > 0 || ", " > 0)")).unwrap_err();
    on_a_small_stack("a > 0 ? 1 : ".repeat(60) + "2").unwrap();
    for open in ["a > 0 ? 1 : ", "a > 0 && ", "a.exists(x, ", "a ? ", "a == "] {
        let _ = on_a_small_stack(around(60, open, ""));
        let _ = on_a_small_stack(around(300, open, ""));
        let _ = on_a_small_stack(around(4000 / open.len(), open, ""));
    }
}

#[test]
fn chains_are_not_nesting_but_end_somewhere() {
    for chain in ["a + ", "a * b - ", "a / "] {
        on_a_small_stack(chain.repeat(250) + "a").unwrap();
    }
    on_a_small_stack("a > 0 || ".repeat(120) + "b > 0").unwrap();
    on_a_small_stack("-".repeat(500) + "a").unwrap();
    on_a_small_stack("!".repeat(500) + "(a > 0)").unwrap();
    for chain in ["a + ", "-", "!", "a.", "f().", "a[0]", "a < ", "1,", "a ? a : "] {
        on_a_small_stack(chain.repeat(4090 / chain.len()) + "a").unwrap_err();
    }
    for member in [".b", "[0]", ".size()", ".map(x, x)"] {
        on_a_small_stack("a".to_string() + &member.repeat(300)).unwrap_err();
    }
    let long = "1 + ".repeat(1025) + "1";
    assert_eq!(on_a_small_stack(long).unwrap_err().found, "4101 bytes long");
    let most = " ".repeat(4095) + "1";
    on_a_small_stack(most).unwrap();
}

/// Expressions that mostly compile.
fn expression() -> impl Strategy<Value = String> {
    let leaves = vec![
        "a",
        "b",
        "1",
        "0",
        "2.5",
        "true",
        "'x'",
        "\"\"",
        "item.n",
        "item.t",
        "item.l",
        "item.u",
        "has(item.n)",
        "default_reward",
        "[]",
        "[1, a]",
        "item['t']",
        "'l' in item",
        "9007199254740993",
        "1e308",
        "x",
        "['x', 't']",
    ];
    let leaf = prop::sample::select(leaves).prop_map(str::to_string);
    leaf.prop_recursive(5, 40, 3, |inner| {
        let binary = vec!["+", "-", "*", "/", "%", "==", "!=", "<", "<=", ">", ">=", "&&", "||", "in"];
        let calls = vec!["abs", "size", "min", "max", "exp", "ln", "sqrt", "double", "int", "sign", "round", "!", "-"];
        let methods = vec!["size()", "startsWith('x')", "contains(item.t)", "map(x, [x, x])", "filter(x, x > 1)"];
        let walks = vec!["all", "exists", "exists_one", "map", "filter"];
        let two = (inner.clone(), inner.clone());
        prop_oneof![
            (two.clone(), prop::sample::select(binary)).prop_map(|((l, r), op)| format!("({l} {op} {r})")),
            (inner.clone(), two.clone()).prop_map(|(c, (l, r))| format!("({c} ? {l} : {r})")),
            (inner.clone(), prop::sample::select(calls)).prop_map(|(of, f)| format!("{f}({of})")),
            (inner.clone(), prop::sample::select(methods)).prop_map(|(of, f)| format!("({of}).{f}")),
            (two.clone(), prop::sample::select(walks)).prop_map(|((l, r), f)| format!("{l}.{f}(x, {r})")),
            two.clone().prop_map(|(l, r)| format!("{l}[{r}]")),
            two.clone().prop_map(|(l, r)| format!("[{l}, {r}]")),
            two.prop_map(|(l, r)| format!("pow({l}, {r})")),
        ]
    })
}

fn tokens() -> impl Strategy<Value = String> {
    let tokens = vec![
        "(",
        ")",
        "[",
        "]",
        "{",
        "}",
        "a",
        "b",
        "item",
        "has",
        "exists",
        "size",
        ".",
        ",",
        "?",
        ":",
        "+",
        "-",
        "*",
        "/",
        "%",
        "&&",
        "||",
        "!",
        "<",
        "==",
        "in",
        " ",
        "1",
        "2.5",
        "1u",
        "'x'",
        "'",
        "\"",
        "null",
        "`q`",
        "@",
        "\\",
        "\n",
        "0x",
        "'''",
        "//",
        "é",
        "has(item.a)",
        "a.exists(x,x>1)",
        "'\\u12'",
        "b'\\xff'",
        "math",
        "\u{1F600}",
        "\0",
        "r'",
        "cel",
        "for",
    ];
    prop::collection::vec(prop::sample::select(tokens), 1..20).prop_map(|tokens| tokens.concat())
}

fn number() -> impl Strategy<Value = f64> {
    prop_oneof![any::<f64>(), -10.0..10.0, Just(0.0), Just(1.0)]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1500))]

    #[test]
    fn random_expressions_give_a_finite_worth_the_same_each_time(
        expression in expression(),
        a in number(),
        n in number(),
        text in ".{0,8}",
        json in prop_oneof![".{0,12}", Just("[\"x\", \"t\"]".to_string()), Just("[1]".to_string())],
    ) {
        if let Ok(reward) = Reward::compile(&spec(&expression, &SIGNALS)) {
            let item = item(&[("n", Value::Number(n)), ("t", Value::Text(&text)), ("l", Value::Json(&json))]);
            let mut observed = Observed::default();
            observed.event(&reward, T0, T0 + 1, &Event { value: Some(a), ..at(1, "e", "x") });
            let worth = observed.value(&reward, T0, Fields::from_bytes(&item)).unwrap();
            prop_assert!(worth.reward.is_finite());
            let again = Reward::compile(reward.spec()).unwrap();
            prop_assert_eq!(observed.value(&again, T0, Fields::from_bytes(&item)), Some(worth));
        }
    }

    #[test]
    fn any_text_is_compiled_or_refused(source in prop_oneof![tokens(), ".{0,60}"]) {
        if let Err(error) = Reward::compile(&spec("1", &SIGNALS)).and_then(|reward| {
            let spec = RewardSpec { expression: source.clone(), ..reward.spec().clone() };
            Reward::compile(&spec)
        }) {
            prop_assert_eq!(error.key, "expression");
            prop_assert!(error.found.len() < 600 && error.found.lines().count() == 1, "{}", error.found);
        }
    }

    #[test]
    fn any_bytes_of_an_item_are_read_or_left(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
        let reward = compile("has(item.a) || item.b == 1 ? 1 : 2", &SIGNALS);
        let mut observed = Observed::default();
        take(&mut observed, &reward, &at(1, "e", "x"));
        prop_assert!(observed.value(&reward, T0, Fields::from_bytes(&bytes)).is_some());
    }
}
