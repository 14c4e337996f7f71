//! The values of an instance, of which most queries read a few.

use std::fmt;
use std::ops::{Index, IndexMut};
use std::sync::Arc;

use crate::Value;

/// A value for each property of a class, in the order of the class; `None` where none was read.
///
/// A row of a query has room for what the query reads alone: a class has up to a hundred properties,
/// and a row of two of them should not cost as much as a whole one. It gets room for all when
/// something else is written into it.
#[derive(Clone)]
pub struct Values {
    len: usize,
    /// The properties that have a slot, ascending; without it all of them, in order.
    places: Option<Arc<[u16]>>,
    slots: Vec<Option<Value>>,
}

static NONE: Option<Value> = None;

impl Values {
    /// Room for all of `len` properties, none of them read.
    pub fn none(len: usize) -> Self {
        Self { len, places: None, slots: vec![None; len] }
    }

    /// The `values` of some of `len` properties, in the order of their `places`, which ascend.
    pub fn of_few(len: usize, places: &Arc<[u16]>, values: Vec<Option<Value>>) -> Self {
        debug_assert!(places.is_sorted() && places.iter().all(|place| usize::from(*place) < len));
        debug_assert_eq!(places.len(), values.len());
        Self { len, places: Some(Arc::clone(places)), slots: values }
    }

    /// How many properties the class has.
    pub fn len(&self) -> usize {
        self.len
    }

    /// True when the class has no property.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// What was read of the property at `place`; `None` when the class has none there.
    pub fn get(&self, place: usize) -> Option<&Option<Value>> {
        if place >= self.len {
            return None;
        }
        match &self.places {
            None => self.slots.get(place),
            Some(places) => {
                Some(slot_of(places, place).and_then(|slot| self.slots.get(slot)).unwrap_or(&NONE))
            }
        }
    }

    /// The property at `place` to be written; `None` when the class has none there.
    pub fn get_mut(&mut self, place: usize) -> Option<&mut Option<Value>> {
        if place >= self.len {
            return None;
        }
        let slot = match &self.places {
            None => place,
            Some(places) => match slot_of(places, place) {
                Some(slot) => slot,
                None => {
                    self.make_room();
                    place
                }
            },
        };
        self.slots.get_mut(slot)
    }

    /// All of them, in the order of the class.
    pub fn iter(&self) -> ValuesIter<'_> {
        ValuesIter { values: self, place: 0, slot: 0 }
    }

    /// All of them to be written, in the order of the class.
    pub fn iter_mut(&mut self) -> std::slice::IterMut<'_, Option<Value>> {
        self.make_room();
        self.slots.iter_mut()
    }

    /// Sets all of them.
    pub fn fill(&mut self, value: Option<Value>) {
        self.make_room();
        self.slots.fill(value);
    }

    /// Gives every property a slot.
    fn make_room(&mut self) {
        let Some(places) = self.places.take() else { return };
        let mut all = vec![None; self.len];
        for (place, value) in places.iter().zip(std::mem::take(&mut self.slots)) {
            if let Some(slot) = all.get_mut(usize::from(*place)) {
                *slot = value;
            }
        }
        self.slots = all;
    }
}

fn slot_of(places: &[u16], place: usize) -> Option<usize> {
    let place = u16::try_from(place).ok()?;
    places.binary_search(&place).ok()
}

impl Index<usize> for Values {
    type Output = Option<Value>;

    fn index(&self, place: usize) -> &Option<Value> {
        self.get(place).expect("the class has a property there")
    }
}

impl IndexMut<usize> for Values {
    fn index_mut(&mut self, place: usize) -> &mut Option<Value> {
        self.get_mut(place).expect("the class has a property there")
    }
}

impl PartialEq for Values {
    fn eq(&self, other: &Self) -> bool {
        self.len == other.len && self.iter().eq(other.iter())
    }
}

impl fmt::Debug for Values {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

impl<'v> IntoIterator for &'v Values {
    type Item = &'v Option<Value>;
    type IntoIter = ValuesIter<'v>;

    fn into_iter(self) -> ValuesIter<'v> {
        self.iter()
    }
}

impl<'v> IntoIterator for &'v mut Values {
    type Item = &'v mut Option<Value>;
    type IntoIter = std::slice::IterMut<'v, Option<Value>>;

    fn into_iter(self) -> std::slice::IterMut<'v, Option<Value>> {
        self.iter_mut()
    }
}

/// Goes through [`Values`].
#[derive(Debug, Clone)]
pub struct ValuesIter<'v> {
    values: &'v Values,
    place: usize,
    slot: usize,
}

impl<'v> Iterator for ValuesIter<'v> {
    type Item = &'v Option<Value>;

    fn next(&mut self) -> Option<&'v Option<Value>> {
        if self.place >= self.values.len {
            return None;
        }
        let place = self.place;
        self.place += 1;
        if let Some(places) = &self.values.places
            && places.get(self.slot).is_none_or(|next| usize::from(*next) != place)
        {
            return Some(&NONE);
        }
        let slot = self.slot;
        self.slot += 1;
        self.values.slots.get(slot)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = self.values.len.saturating_sub(self.place);
        (left, Some(left))
    }
}

impl ExactSizeIterator for ValuesIter<'_> {}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::Values;
    use crate::Value;

    #[test]
    fn a_few_values_read_and_are_written_like_all_of_them() {
        let places: Arc<[u16]> = [1, 4].into();
        let number = |number| Some(Value::Unsigned(number));
        let (mut few, mut all) = (Values::of_few(6, &places, vec![None; 2]), Values::none(6));
        assert_eq!(few, all);
        for (place, value) in [(4, 40), (1, 10)] {
            few[place] = number(value);
            all[place] = number(value);
            assert_eq!(few, all);
        }
        assert_eq!(few.slots.len(), 2, "nothing else needed room");
        let read: Vec<_> = (0..7).map(|place| few.get(place).cloned()).collect();
        assert_eq!(read, (0..7).map(|place| all.get(place).cloned()).collect::<Vec<_>>());
        assert_eq!((few.iter().len(), few.iter().flatten().count()), (6, 2));
        assert_eq!(format!("{few:?}"), format!("{all:?}"));
        assert!(few.get_mut(6).is_none());
        // What has no room gets it, and the others keep their values.
        few[0] = number(0);
        assert_ne!(few, all);
        all[0] = number(0);
        assert_eq!(few, all);
        let mut few = Values::of_few(6, &places, vec![None; 2]);
        few[4] = number(4);
        for value in &mut few {
            *value = value.take().or(Some(Value::Null));
        }
        let kept: Vec<_> = few.iter().flatten().filter(|value| **value != Value::Null).collect();
        assert_eq!(kept, [&Value::Unsigned(4)]);
        few.fill(None);
        assert_eq!(few, Values::none(6));
        let mut all = Values::none(6);
        (all[1], all[4]) = (number(1), number(4));
        assert_eq!(Values::of_few(6, &places, vec![number(1), number(4)]), all);
    }
}
