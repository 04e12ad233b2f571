//! From specification to plan: names become input places, lists become codes, features get their words and slots.

use super::check::{self, PlanError, error, key};
use super::input::{Encoding, FIELDS, Input, Inputs, Source};
use super::{Plan, Slot};
use crate::feature::*;
use crate::model::ModelPlan;
use crate::names::Names;
use crate::row::{HEADER, ITEM_HEADER, RowPlan};
use crate::spec::{FeatureSpec, FeatureType, Scope, Spec};
use crate::zones::Zones;
use std::sync::Arc;
use xxhash_rust::xxh3::xxh3_64;

/// Slots of a vector at most.
const SLOTS_MAX: usize = 4096;

#[derive(Default)]
struct Compiler {
    /// Of the sessions' lane, and of the viewers'.
    inputs: [Vec<Input>; 2],
    half_lives: [Vec<f64>; 2],
    /// The lane of the feature being compiled.
    lane: usize,
    kinds: Vec<String>,
    slots: Vec<Slot>,
    /// Read where a feature needs them.
    zones: Option<Arc<Zones>>,
}

pub(super) fn compile(spec: &Spec) -> Result<Plan, PlanError> {
    check::check_spec(spec)?;
    let mut c = Compiler::default();
    let viewer_input = c.input(Source::Viewer, Encoding::Hash);
    let (mut session, mut viewer, mut item) = (vec![], vec![], vec![]);
    for (index, feature) in spec.features.iter().enumerate() {
        let slot = c.slots.len();
        c.lane = usize::from(feature.scope == Scope::Viewer);
        let compiled = c.feature(index, feature)?;
        c.name_slots(feature, &compiled);
        if c.slots.len() > SLOTS_MAX {
            return Err(error(
                key(index, feature, "name"),
                format!("slot {}", c.slots.len()),
                format!("{SLOTS_MAX} slots"),
            ));
        }
        match feature.scope {
            Scope::Session => session.push((compiled, slot)),
            Scope::Viewer => viewer.push((compiled, slot)),
            Scope::Item => item.push((compiled, slot)),
        }
    }
    c.lane = 0;
    let item_input = (!item.is_empty()).then(|| c.input(Source::Item, Encoding::Hash));
    if c.kinds.len() > 63 {
        let found = format!("{} event types in `on` and `over`", c.kinds.len());
        return Err(error("features".into(), found, "63 different ones"));
    }
    let [session_half_lives, viewer_half_lives] = c.half_lives;
    let row = |own, item: Vec<_>, half_lives, gap: i64, max_length: i64| {
        let items_max = if item.is_empty() { 0 } else { spec.session.items_max as usize };
        let (own, item) = (Features::lay(own, HEADER, false), Features::lay(item, ITEM_HEADER, true));
        let (item_words, items) = (item.end(), items_max.min(1) + items_max * item.end());
        RowPlan {
            words: own.end() + items,
            own,
            item,
            items_max,
            item_words,
            item_input,
            viewer_input: Some(viewer_input),
            half_lives,
            gap,
            max_length,
        }
    };
    let session = row(session, item, session_half_lives, spec.session.gap.0, spec.session.max_length.0);
    let mut viewer = row(viewer, vec![], viewer_half_lives, spec.viewer.retention.0, i64::MAX / 4);
    (viewer.item_input, viewer.viewer_input) = (None, None);
    let schema_version = format!("{:016x}", xxh3_64(format!("{:?}", spec.features).as_bytes()));
    let kinds = Names::new(&c.kinds);
    let [session_inputs, viewer_inputs] = c.inputs.map(Inputs::new);
    let models = compile_models(spec, &c.slots)?;
    let of_viewer = c.slots.iter().zip(0..).filter(|(slot, _)| slot.scope == Scope::Viewer);
    let profile_slots = of_viewer.map(|(_, place)| place).collect();
    Ok(Plan {
        spec: spec.clone(),
        slots: c.slots,
        profile_slots,
        schema_version,
        session_inputs,
        viewer_inputs,
        kinds,
        session,
        viewer,
        models,
    })
}

/// Models in one process at most.
const MODELS_MAX: usize = 64;

fn compile_models(spec: &Spec, slots: &[Slot]) -> Result<Vec<ModelPlan>, PlanError> {
    if spec.models.len() > MODELS_MAX {
        return Err(error("models".into(), format!("{} models", spec.models.len()), format!("{MODELS_MAX}")));
    }
    for (i, model) in spec.models.iter().enumerate() {
        if spec.models[..i].iter().any(|other| other.name == model.name) {
            return Err(error(format!("models[{i}].name"), format!("\"{}\" twice", model.name), "each name once"));
        }
    }
    spec.models.iter().enumerate().map(|(i, model)| ModelPlan::compile(i, model, slots)).collect()
}

impl Compiler {
    fn input(&mut self, source: Source, encoding: Encoding) -> usize {
        let input = Input { source, encoding };
        let inputs = &mut self.inputs[self.lane];
        inputs.iter().position(|i| *i == input).unwrap_or_else(|| {
            inputs.push(input);
            inputs.len() - 1
        })
    }

    fn source(index: usize, f: &FeatureSpec, name: &str, field: &str) -> Result<Source, PlanError> {
        if let Some(free) = field.strip_prefix("fields.").filter(|n| !n.is_empty()) {
            return Ok(Source::Free(free.to_string()));
        }
        FIELDS.iter().find(|(n, _)| *n == field).map(|(_, source)| source.clone()).ok_or_else(|| {
            let names: Vec<&str> = FIELDS.iter().map(|(n, _)| *n).collect();
            error(key(index, f, name), format!("\"{field}\""), format!("{}, fields.NAME", names.join(", ")))
        })
    }

    /// The input of `field` in the wanted encoding.
    fn field(&mut self, index: usize, f: &FeatureSpec, encoding: Encoding) -> Result<usize, PlanError> {
        let field = f.field.as_deref().unwrap_or("value");
        let source = Self::source(index, f, "field", field)?;
        let is_text = matches!(
            source,
            Source::Kind
                | Source::Session
                | Source::Viewer
                | Source::Item
                | Source::Decision
                | Source::Device
                | Source::Country
                | Source::Timezone
        );
        if is_text == (encoding == Encoding::Number) && !matches!(source, Source::Free(_)) {
            let allowed = if is_text { "a field that is a number" } else { "a field that is a text" };
            return Err(error(key(index, f, "field"), format!("\"{field}\""), allowed));
        }
        Ok(self.input(source, encoding))
    }

    fn filter(&mut self, kinds: Option<&Vec<String>>) -> Filter {
        let Some(kinds) = kinds else { return Filter::ALL };
        let mut mask = 0;
        for kind in kinds {
            let place = self.kinds.iter().position(|k| k == kind).unwrap_or_else(|| {
                self.kinds.push(kind.clone());
                self.kinds.len() - 1
            });
            // More than 63 types are refused at the end; until then the shift must not overflow.
            mask |= 1u64 << place.min(62);
        }
        Filter(mask)
    }

    fn groups(&mut self, index: usize, f: &FeatureSpec) -> Result<Groups, PlanError> {
        let (Some(by), Some(values)) = (&f.by, &f.values) else { return Ok(Groups::ONE) };
        let source = Self::source(index, f, "by", by)?;
        let input = self.input(source, Encoding::Code(Names::new(values)));
        Ok(Groups { input: Some(input), count: values.len() })
    }

    fn half_lives(&mut self, f: &FeatureSpec) -> Vec<(usize, f64)> {
        let mut places = vec![];
        for half_life in f.half_lives.iter().flatten() {
            let ms = half_life.0 as f64;
            let known = &mut self.half_lives[self.lane];
            let place = known.iter().position(|h| *h == ms).unwrap_or_else(|| {
                known.push(ms);
                known.len() - 1
            });
            places.push((place, std::f64::consts::LN_2 * 1000.0 / ms));
        }
        places
    }

    fn outputs(index: usize, f: &FeatureSpec, names: &[&str]) -> Result<Vec<usize>, PlanError> {
        let Some(outputs) = &f.outputs else { return Ok((0..names.len()).collect()) };
        let place = |output: &String| {
            names
                .iter()
                .position(|n| n == output)
                .ok_or_else(|| error(key(index, f, "outputs"), format!("\"{output}\""), names.join(", ")))
        };
        outputs.iter().map(place).collect()
    }

    fn feature(&mut self, index: usize, f: &FeatureSpec) -> Result<Feature, PlanError> {
        use FeatureType as T;
        let filter = self.filter(f.on.as_ref());
        let absent = f.absent.unwrap_or(if f.kind == T::TimeSince { -1.0 } else { 0.0 });
        let shown = Shown { absent, scale: f.scale.unwrap_or(1.0) };
        let names = || Names::new(f.values.as_deref().unwrap_or_default());
        Ok(match f.kind {
            T::DecayedCount | T::DecayedSum | T::DecayedMean | T::DecayedRate => {
                let (figure, has_value) = match f.kind {
                    T::DecayedCount => (DecayedFigure::Count, false),
                    T::DecayedSum => (DecayedFigure::Sum, true),
                    T::DecayedMean => (DecayedFigure::Mean, true),
                    _ => (DecayedFigure::Rate, false),
                };
                let value = if has_value { Some(self.field(index, f, Encoding::Number)?) } else { None };
                let (groups, half_lives) = (self.groups(index, f)?, self.half_lives(f));
                Feature::Decayed(Decayed { figure, filter, groups, value, half_lives, shown })
            }
            T::Count | T::Sum | T::Max | T::Min => {
                let figure = match f.kind {
                    T::Count => TallyFigure::Count,
                    T::Sum => TallyFigure::Sum,
                    T::Max => TallyFigure::Max,
                    _ => TallyFigure::Min,
                };
                let value = if f.kind == T::Count { None } else { Some(self.field(index, f, Encoding::Number)?) };
                Feature::Tally(Tally { figure, filter, groups: self.groups(index, f)?, value, shown })
            }
            T::TimeSince => Feature::TimeSince(TimeSince { filter, groups: self.groups(index, f)?, shown }),
            T::Last | T::First => {
                let kept = if f.kind == T::Last { Kept::Last } else { Kept::First };
                Feature::Recency(Recency { kept, filter, value: self.field(index, f, Encoding::Number)?, shown })
            }
            T::Distinct => {
                let exact = f.values.is_some();
                let value = self.field(index, f, if exact { Encoding::Code(names()) } else { Encoding::Hash })?;
                Feature::Distinct(Distinct::new(filter, value, exact, f.size.unwrap_or(64), shown))
            }
            T::Ratio => Feature::Ratio(Ratio { filter, over: self.filter(f.over.as_ref()), shown }),
            T::Age => Feature::Age(shown),
            T::Playback => self.playback(index, f, shown)?,
            T::Scroll => {
                let filter = if f.on.is_some() { filter } else { self.filter(Some(&vec!["scroll".to_string()])) };
                let depth = self.field(index, f, Encoding::Number)?;
                Feature::Scroll(Scroll { filter, depth, outputs: Self::outputs(index, f, &SCROLL_OUTPUTS)?, shown })
            }
            T::OneHot | T::Index | T::Hashed => {
                let (count, slots) = (f.values.as_ref().map_or(0, Vec::len), f.size.unwrap_or(0) as usize);
                let (encoding, input) = match f.kind {
                    T::OneHot => (CategoryEncoding::OneHot { count }, Encoding::Place(names())),
                    T::Index => (CategoryEncoding::Index { count }, Encoding::Place(names())),
                    _ => (CategoryEncoding::Hashed { count: slots }, Encoding::Hash),
                };
                Feature::Category(Category { encoding, filter, value: self.field(index, f, input)?, shown })
            }
            T::LocalTime => {
                let zones = Arc::clone(self.zones.get_or_insert_with(|| Arc::new(Zones::new())));
                let zone = self.input(Source::Timezone, Encoding::Zone(Arc::clone(&zones)));
                Feature::LocalTime(LocalTime { zone, zones, outputs: Self::outputs(index, f, &LOCAL_TIME_OUTPUTS)? })
            }
        })
    }

    fn playback(&mut self, index: usize, f: &FeatureSpec, shown: Shown) -> Result<Feature, PlanError> {
        let kinds: Vec<String> = playback_kinds().map(str::to_string).collect();
        Ok(Feature::Playback(Playback {
            kind: self.input(Source::Kind, Encoding::Code(Names::new(&kinds))),
            state: self.input(Source::State, Encoding::Number),
            playhead_s: self.input(Source::PlayheadS, Encoding::Number),
            duration_s: self.input(Source::DurationS, Encoding::Number),
            value: self.input(Source::Value, Encoding::Number),
            rate_field: self.input(Source::Free("pr".into()), Encoding::Number),
            start_delay_ms: self.input(Source::Free("msd".into()), Encoding::Number),
            item: self.input(Source::Item, Encoding::Hash),
            outputs: Self::outputs(index, f, &PLAYBACK_OUTPUTS)?,
            shown,
        }))
    }

    fn name_slots(&mut self, f: &FeatureSpec, compiled: &Feature) {
        let list = |names: Option<&Vec<String>>| names.cloned().unwrap_or_default();
        let chosen =
            |outputs: &[usize], names: &[&str]| outputs.iter().map(|o| names[*o].to_string()).collect::<Vec<_>>();
        let suffixes: Vec<String> = match compiled {
            Feature::Playback(p) => chosen(&p.outputs, &PLAYBACK_OUTPUTS),
            Feature::Scroll(s) => chosen(&s.outputs, &SCROLL_OUTPUTS),
            Feature::LocalTime(t) => chosen(&t.outputs, &LOCAL_TIME_OUTPUTS),
            Feature::Category(c) => match c.encoding {
                CategoryEncoding::OneHot { .. } => list(f.values.as_ref()),
                CategoryEncoding::Hashed { count } => (0..count).map(|i| i.to_string()).collect(),
                CategoryEncoding::Index { .. } => vec![],
            },
            Feature::Distinct(_) => vec![],
            _ => {
                let groups = if f.by.is_some() { list(f.values.as_ref()) } else { vec![String::new()] };
                let times: Vec<String> = match &f.half_lives {
                    Some(h) => h.iter().map(|d| format!(".{d}")).collect(),
                    None => vec![String::new()],
                };
                let joined = times.iter().flat_map(|t| groups.iter().map(move |g| format!("{g}{t}")));
                joined.map(|s| s.trim_start_matches('.').to_string()).collect()
            }
        };
        let kind = serde_name(f.kind);
        let suffixes = if suffixes.is_empty() { vec![String::new()] } else { suffixes };
        for suffix in suffixes {
            let name = if suffix.is_empty() { f.name.clone() } else { format!("{}.{suffix}", f.name) };
            self.slots.push(Slot {
                description: describe(f, &suffix),
                name,
                feature: f.name.clone(),
                kind: kind.clone(),
                scope: f.scope,
                unit: unit(f, &suffix),
                absent: f.absent.unwrap_or(if f.kind == FeatureType::TimeSince { -1.0 } else { 0.0 }),
            });
        }
    }
}

/// The type as it is written in configuration.
fn serde_name(kind: FeatureType) -> String {
    let debug = format!("{kind:?}");
    let mut name = String::new();
    for (i, c) in debug.char_indices() {
        if c.is_ascii_uppercase() && i > 0 {
            name.push('_');
        }
        name.push(c.to_ascii_lowercase());
    }
    name
}

fn unit(f: &FeatureSpec, suffix: &str) -> &'static str {
    use FeatureType::*;
    match f.kind {
        _ if f.scale.is_some_and(|s| s != 1.0) => "scaled",
        DecayedCount | Count | Distinct => "events",
        DecayedRate => "per second",
        TimeSince | Age => "seconds",
        Ratio => "ratio",
        LocalTime => "-1 to 1",
        OneHot | Hashed => "0 or 1",
        Index => "place from 0",
        Playback if suffix.ends_with("_s") => "seconds",
        Playback if matches!(suffix, "playing" | "paused" | "seeking" | "rebuffering" | "ended") => "0 or 1",
        Playback => "number",
        _ => "of the field",
    }
}

fn describe(f: &FeatureSpec, suffix: &str) -> String {
    use FeatureType::*;
    let whose = match f.scope {
        Scope::Session => "in the session",
        Scope::Viewer => "of the viewer, across sessions",
        Scope::Item => "on the session's latest item",
    };
    let events = match &f.on {
        Some(kinds) => format!("{} events", kinds.join(", ")),
        None => "events".to_string(),
    };
    let field = f.field.as_deref().unwrap_or("value");
    let part = if suffix.is_empty() { String::new() } else { format!(" [{suffix}]") };
    let what = match f.kind {
        DecayedCount => format!("{events}, each worth 2^(-age/half-life)"),
        DecayedSum => format!("sum of `{field}` over {events}, each worth 2^(-age/half-life)"),
        DecayedMean => format!("mean of `{field}` over {events}, weighted by 2^(-age/half-life)"),
        DecayedRate => format!("{events} per second, smoothed over the half-life"),
        Count => format!("number of {events}"),
        Sum => format!("sum of `{field}` over {events}"),
        Max => format!("greatest `{field}` of {events}"),
        Min => format!("least `{field}` of {events}"),
        TimeSince => format!("seconds since the latest of {events}, at the latest event"),
        Last => format!("`{field}` of the latest of {events} by event time"),
        First => format!("`{field}` of the first of {events} by event time"),
        Distinct => format!("different values of `{field}` in {events}"),
        Ratio => format!("{events} per {}", f.over.as_ref().map(|o| o.join(", ")).unwrap_or_default()),
        Age => "seconds from first to latest event".to_string(),
        Playback => "what the player does, as of the latest event".to_string(),
        Scroll => format!("scrolling by `{field}`"),
        OneHot => format!("1 where the latest `{field}` is this value"),
        Hashed => format!("1 where the latest `{field}` hashes into this slot"),
        Index => format!("place of the latest `{field}` in {:?}", f.values.as_deref().unwrap_or_default()),
        LocalTime => "time of the latest event in the viewer's time zone, as an angle".to_string(),
    };
    format!("{what}{part}, {whose}")
}
