//! Nearness to other apps: rules and wishes about what runs beside an instance. Lonja's own.

use std::collections::BTreeSet;

use lonja_model::Offer;

use super::fields::Field;
use crate::definition::Affinity;
use crate::instance::Place;
use crate::path_id::PathId;

/// One affinity, made ready for one instance: where the others are.
#[derive(Debug)]
pub(super) struct Near {
    app: PathId,
    field: Field,
    name: String,
    near: bool,
    pub(super) required: bool,
    values: BTreeSet<String>,
}

impl Near {
    /// `value_at` tells a field's value on an agent where the place itself does not say.
    pub(super) fn new(
        affinity: &Affinity,
        neighbours: &[&Place],
        value_at: impl Fn(&Field, &Place) -> Option<String>,
    ) -> Self {
        let field = Field::named(&affinity.field);
        let value =
            |place: &&Place| field.of_place(place).map(str::to_owned).or_else(|| value_at(&field, place));
        let values = neighbours.iter().filter_map(value).collect();
        let (app, name) = (affinity.app.clone(), affinity.field.clone());
        Self { app, field, name, near: affinity.near, required: affinity.required, values }
    }

    /// Is it so where this offer comes from? Away from something is wherever the field has no value; near to something
    /// that is nowhere is nowhere.
    pub(super) fn holds(&self, offer: &Offer) -> bool {
        let beside = self.field.of_offer(offer).is_some_and(|value| self.values.contains(value.as_ref()));
        beside == self.near
    }

    /// In words why it is not so.
    pub(super) fn why_not(&self) -> String {
        let Self { app, name, .. } = self;
        match (self.near, self.values.is_empty()) {
            (true, true) => format!("near {app} by {name}: none of its instances is anywhere"),
            (true, false) => format!("near {app} by {name}: none of its instances is there"),
            (false, _) => format!("away from {app} by {name}: an instance of it is there"),
        }
    }
}
