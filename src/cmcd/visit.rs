//! What is picked out of a dictionary while `sfv` parses it: of each key that is kept, one scalar.
//!
//! Nothing fails here: a value that cannot be used leaves its key empty. Keys are filled while the text is still
//! unchecked, so they mean nothing until the parser has returned.

use super::record::{Keys, Scalar};
use bumpalo::Bump;
use sfv::visitor::{DictionaryVisitor, EntryVisitor, Ignored, InnerListVisitor, ItemVisitor, ParameterVisitor};
use sfv::{BareItemFromInput, KeyRef};
use std::borrow::Cow;
use std::convert::Infallible;

/// Visits a dictionary.
pub(super) struct Collect<'s, 'a> {
    pub(super) keys: &'s mut Keys<'a>,
    /// Names to keep beside the reserved and custom ones.
    pub(super) configured: &'s [String],
    pub(super) arena: &'a Bump,
}

impl<'a> DictionaryVisitor<'a> for Collect<'_, 'a> {
    type Out = ();
    type Error = Infallible;

    fn entry(&mut self, key: &'a KeyRef) -> Result<impl EntryVisitor<'a>, Infallible> {
        let arena = self.arena;
        let slot = self.keys.slot(key.as_str(), self.configured);
        Ok(slot.map(|value| Member { value, arena, has_video: false }))
    }

    fn finish(self) -> Result<(), Infallible> {
        Ok(())
    }
}

/// Visits the value of a key, and the items where that is a list.
struct Member<'s, 'a> {
    value: &'s mut Option<Scalar<'a>>,
    arena: &'a Bump,
    has_video: bool,
}

impl<'a> EntryVisitor<'a> for Member<'_, 'a> {
    type Error = Infallible;

    fn item(self) -> Result<impl ItemVisitor<'a>, Infallible> {
        Ok(move |item: BareItemFromInput<'a>| {
            *self.value = scalar(item, self.arena);
            Ok::<_, Infallible>(Ignored)
        })
    }

    fn inner_list(self) -> Result<impl InnerListVisitor<'a>, Infallible> {
        Ok(self)
    }
}

impl<'a> InnerListVisitor<'a> for Member<'_, 'a> {
    type Error = Infallible;

    fn item(&mut self) -> Result<impl ItemVisitor<'a>, Infallible> {
        Ok(Item { scalar: None, is_video: false, list: self })
    }

    fn finish(self) -> Result<impl ParameterVisitor<'a>, Infallible> {
        Ok(Ignored)
    }
}

/// Visits an item of a list and its type parameter.
struct Item<'i, 's, 'a> {
    scalar: Option<Scalar<'a>>,
    is_video: bool,
    list: &'i mut Member<'s, 'a>,
}

impl<'a> ItemVisitor<'a> for Item<'_, '_, 'a> {
    type Out = ();
    type Error = Infallible;

    fn bare_item(self, item: BareItemFromInput<'a>) -> Result<impl ParameterVisitor<'a, Out = ()>, Infallible> {
        Ok(Item { scalar: scalar(item, self.list.arena), ..self })
    }
}

impl<'a> ParameterVisitor<'a> for Item<'_, '_, 'a> {
    type Out = ();
    type Error = Infallible;

    fn parameter(&mut self, key: &'a KeyRef, _: BareItemFromInput<'a>) -> Result<(), Infallible> {
        self.is_video |= key.as_str() == "v";
        Ok(())
    }

    fn finish(self) -> Result<(), Infallible> {
        let first = self.list.value.is_none();
        let first_video = self.is_video && !self.list.has_video;
        if self.scalar.is_some() && (first || first_video) {
            *self.list.value = self.scalar;
            self.list.has_video |= self.is_video;
        }
        Ok(())
    }
}

fn scalar<'a>(item: BareItemFromInput<'a>, arena: &'a Bump) -> Option<Scalar<'a>> {
    match item {
        BareItemFromInput::Integer(number) => Some(Scalar::Number(i64::from(number) as f64)),
        BareItemFromInput::Decimal(number) => Some(Scalar::Number(f64::from(number))),
        BareItemFromInput::Boolean(truth) => Some(Scalar::Bool(truth)),
        BareItemFromInput::Token(token) => Some(Scalar::Token(token.as_str())),
        BareItemFromInput::String(Cow::Borrowed(text)) => Some(Scalar::Text(text.as_str())),
        BareItemFromInput::String(Cow::Owned(text)) => Some(Scalar::Text(arena.alloc_str(text.as_str()))),
        // The one kind of string that may carry escaped control characters.
        BareItemFromInput::DisplayString(text) if text.chars().any(char::is_control) => None,
        BareItemFromInput::DisplayString(Cow::Borrowed(text)) => Some(Scalar::Text(text)),
        BareItemFromInput::DisplayString(Cow::Owned(text)) => Some(Scalar::Text(arena.alloc_str(&text))),
        BareItemFromInput::ByteSequence(_) | BareItemFromInput::Date(_) => None,
    }
}
